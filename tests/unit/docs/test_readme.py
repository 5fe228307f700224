"""README shows every command of the command line, and only what the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hodei import cli

README = (Path(__file__).parents[3] / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("hodei ")]
SHOWN_IN_WORDS = {"up", "demo"}
"""Commands that have a target of make in their place."""


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


def _path(example: str) -> tuple[str, ...]:
    words = shlex.split(example, comments=True)[1:]
    command, path = get_command(cli.app), ()
    while hasattr(command, "commands"):
        command, path = command.commands[words[len(path)]], (*path, words[len(path)])
    return path


def test_every_command_has_an_example() -> None:
    shown = {_path(example) for example in EXAMPLES}
    in_words = {("dead-letters", "show"), ("dead-letters", "delete"), ("workers", "resume")}
    in_words |= {("pipelines", name) for name in ("show", "versions", "export", "schema")}
    in_words |= {
        ("schedules", name) for name in ("list", "show", "history", "pause", "resume", "trigger", "change", "remove")
    }
    in_words |= {("workers", "join-tokens"), ("workers", "revoke-join-token")}
    in_words |= {("credentials", "list"), ("credentials", "revoke")}
    in_words |= {("logout",), ("tokens", "list"), ("tokens", "revoke")}
    missing = set(_commands(get_command(cli.app))) - shown - in_words - {(name,) for name in SHOWN_IN_WORDS}
    assert missing == set()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example: str) -> None:
    path = _path(example)
    command: Any = get_command(cli.app)
    for name in path:
        command = command.commands[name]
    words = shlex.split(example, comments=True)[1 + len(path) :]
    command.make_context(" ".join(path), words)  # raises what a person would be told
