"""The calls that `make bench-lists` times are those of the console's pages."""

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.console_calls import Call, Shown, calls
from benchmarks.filling_pages import Filled
from orchestrator import console
from shared.ids import new_id

PAGES = Path(console.__file__).parent
NOT_TIMED = {
    "/api/v1/jobs/{}/logs": "benchmarks.logs measures it",
    "/api/v1/schedule": "it creates a schedule",
    "/api/v1/tasks/{}/{}": "it decides about an approval",
    "/api/v1/jobs/{}/cancel": "it changes something",
    **{f"{{}}/{verb}": "it changes something" for verb in ("rerun", "drain", "resume", "{}")},
}


def _paths() -> dict[str, str]:
    """The paths in the console's modules, with {} for what varies, and the module of each. A path that continues
    another one begins with {}."""
    found: dict[str, str] = {}
    for file in sorted(PAGES.rglob("*.js")):
        if "vendor" in file.parts:
            continue
        for path in re.findall(r"[\"`]((?:/api/v1|\$\{(?:this\.)?path\})/(?:\$\{[^}]*\}|[^\"`$])*)", file.read_text()):
            found[re.sub(r"\$\{[^}]*\}", "{}", path)] = str(file.relative_to(PAGES))
    return found


def _timed() -> list[Call]:
    filled = Filled(*(new_id() for _ in range(6)))
    return calls(Shown(filled, new_id(), new_id(), "admin"))


def _covers(path: str) -> Iterator[bool]:
    parts = [r"[^/]+" if part == "{}" else re.escape(part) for part in path.removeprefix("{}").split("/")]
    pattern = ("" if path.startswith("/") else ".*") + "/".join(parts)
    for call in _timed():
        yield re.fullmatch(pattern, call.path.split("?")[0]) is not None


def test_every_call_of_a_page_is_timed() -> None:
    paths = _paths()
    assert len(paths) > 25
    missing = {path: file for path, file in paths.items() if path not in NOT_TIMED and not any(_covers(path))}
    assert not missing
    assert not set(NOT_TIMED) - set(paths), "no page makes these calls any more"


def test_calls_with_a_body_are_trials() -> None:
    bodies = [call.body for call in _timed() if call.body is not None]
    assert bodies
    assert all(body["dry_run"] is True for body in bodies)


def test_no_call_is_timed_twice() -> None:
    timed = [(call.page, call.what) for call in _timed()]
    assert len(timed) == len(set(timed))
