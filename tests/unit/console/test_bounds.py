"""The bounds of the numbers in the form of the page Run, against those of the API."""

import re
from typing import Any, Final

from orchestrator.console import read_files
from schemas.rest.jobs import JobCreate

SUBMISSION: Final = "pages/run/submission.js"
FIELDS: Final = {
    "timeout": ("timeout",),
    "queue_timeout": ("queue_timeout",),
    "max_attempts": ("retry", "max_attempts"),
    "retry_delay": ("retry", "delay"),
    "cpu_m": ("resources", "cpu_m"),
    "memory_mb": ("resources", "memory_mb"),
    "gpu": ("resources", "gpu"),
    "concurrency_limit": ("concurrency", "limit"),
}
"""Where the API has each field of the form."""
_TABLE: Final = re.compile(r"^export const BOUNDS = \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_ENTRY: Final = re.compile(r"^  (\w+): \{ (.*) \},$", re.MULTILINE)
_NAMES: Final = {"above": "exclusiveMinimum", "least": "minimum", "most": "maximum"}


def test_the_form_has_the_bounds_of_the_api() -> None:
    table = _TABLE.search(read_files()[SUBMISSION].content.decode())
    assert table is not None
    known = {name: _bounds(text) for name, text in _ENTRY.findall(table[1])}

    assert known == {name: _documented(path) for name, path in FIELDS.items()}


def _bounds(text: str) -> dict[str, Any]:
    given = dict(part.split(": ") for part in text.split(", "))
    kind = "integer" if given.pop("whole", None) else "number"
    return {"type": kind} | {_NAMES[name]: float(value.replace("_", "")) for name, value in given.items()}


def _documented(path: tuple[str, ...]) -> dict[str, Any]:
    document = JobCreate.model_json_schema()
    place: dict[str, Any] = document
    for name in path:
        place = _given(place["properties"][name], document["$defs"])
    return {name: place[name] for name in ("type", *_NAMES.values()) if name in place}


def _given(place: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """A property as it is when it is not null."""
    place = next((one for one in place.get("anyOf", []) if one.get("type") != "null"), place)
    return models[place["$ref"].rpartition("/")[2]] if "$ref" in place else place
