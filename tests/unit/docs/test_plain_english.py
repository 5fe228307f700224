"""The documents, docstrings and messages name their subjects: a few phrases that puzzle a newcomer do not spread.

`LEFT` counts what is still there, by package. A count may only fall: lower it when you mend a sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RIDDLES = re.compile(r"(?<!`)\b(?:nobody|somebody|is no setting|stands there|(?:is|was) said of)\b", re.IGNORECASE)
LEFT = {}
PACKAGES = ["schemas", "hodei", "shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter"]


def _docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value  # a docstring, or the description of a constant or a field


def _texts(room: str) -> Iterator[tuple[Path, str]]:
    if room == "documents":
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
            yield page, page.read_text()
    else:
        for path in (ROOT / room).rglob("*.py"):
            yield path, "\n".join(_docstrings(path))


@pytest.mark.parametrize("room", ["documents", *PACKAGES])
def test_no_more_riddles_than_before(room: str) -> None:
    found = [f"{path.relative_to(ROOT)}: {hit}" for path, text in _texts(room) for hit in RIDDLES.findall(text)]

    assert len(found) <= LEFT.get(room, 0), "\n".join(found)


def test_the_phrases_are_found() -> None:
    assert RIDDLES.findall("HODEI_FOO is no setting; nobody hears it") == ["is no setting", "nobody"]


PUZZLES = re.compile(
    r"\b(?:nobody(?!')|somebody|whatever (?:is|was|it)|anew|shall|what people call|how far|handed (?:over|out)"
    r"|com(?:es?|ing) again|no word (?:from|of)|says? so|(?<!there )is no (?!longer\b|more\b|room\b)[a-z]+)\b",
    re.IGNORECASE,
)
"""Phrases that no message, help text or description uses. Docstrings are counted above."""


def _messages(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_are_free_of_puzzles(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit.group()!r} in {text!r}"
        for path in (ROOT / package).rglob("*.py")
        for text in _messages(path)
        if " " in text and (hit := PUZZLES.search(text))
    ]

    assert not found, "\n".join(found)


def test_puzzles_are_found_in_messages_and_not_in_docstrings(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""Nobody."""\nraise ValueError(f"{name} is no name; it is no longer there")\n')

    [said] = [text for text in _messages(tmp_path / "a.py") if PUZZLES.search(text)]

    assert PUZZLES.findall(said) == ["is no name"]
