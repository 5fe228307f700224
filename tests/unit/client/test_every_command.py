"""Every command of the command line, from the app itself: its help, what it can print, and what can be completed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from typer.testing import CliRunner

from hodei.cli import app
from hodei.manual import MANUAL, NO_JSON

IDS = {"job", "jobs", "rerun_of", "pipeline", "schedule", "worker"}
"""The parameters that are ids; of some commands something else."""
NO_IDS = {
    ("demo", "pipeline"),  # a file
    ("jobs", "schedule"),  # complete ids only
    ("workers revoke", "worker"),  # one that enrolled, which the scheduler may not know
}


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name, one in inner.items():
        yield from _commands(one, (*path, name))


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(_commands(ROOT))
EXAMPLES = [(path, example) for path, entry in MANUAL.items() for example in entry.examples]


def test_the_manual_has_every_command_and_no_other() -> None:
    assert set(MANUAL) == set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_has_an_example_and_exit_codes_on_80_columns(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    result = CliRunner().invoke(app, [*path.split(), "--help"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert f"  {MANUAL[path].examples[0]}" in [line[1:] for line in lines]
    assert " Exit codes:" in lines
    assert [line for line in lines if cell_len(line) > 80] == []


@pytest.mark.parametrize("group", [name for name, one in ROOT.commands.items() if hasattr(one, "commands")])
def test_the_help_of_a_group_has_an_example(group: str) -> None:
    output = CliRunner().invoke(app, [group, "--help"]).output
    assert f"Example: hodei {group} " in output


@pytest.mark.parametrize("path", COMMANDS)
def test_it_prints_json_if_it_prints_anything_about_the_platform(path: str) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert ("--json" in options) is (path not in NO_JSON)
    assert bool(MANUAL[path].json) is (path not in NO_JSON)


@pytest.mark.parametrize("path", COMMANDS)
def test_ids_are_completed(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if parameter.name in IDS and (path, parameter.name) not in NO_IDS:
            assert parameter._custom_shell_complete is not None, parameter.name


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_is_of_its_command_and_has_options_that_exist(path: str, example: str) -> None:
    assert re.search(rf"\bhodei {path}\b", example)
    own = example.partition(" -- ")[0]
    options = {option for parameter in COMMANDS[path].params for option in [*parameter.opts, *parameter.secondary_opts]}
    for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", re.sub(r"'[^']*'", "''", own)):
        assert option in options, option


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_for_each_shell_and_it_completes_commands_without_a_platform(shell: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert (result.exit_code, "_HODEI_COMPLETE" in result.output) == (0, True)
    asked = {"_HODEI_COMPLETE": f"complete_{shell}", "COMP_WORDS": "hodei dele", "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": "hodei dele", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "delete" in _completed(asked)


def test_ids_are_left_out_in_silence_when_the_platform_is_away() -> None:
    asked = {"_HODEI_COMPLETE": "complete_bash", "COMP_WORDS": "hodei show ", "COMP_CWORD": "2"}
    assert _completed(asked | {"HODEI_ORCHESTRATOR_URL": "http://127.0.0.1:9"}) == ""
    assert _completed(asked | {"HODEI_ORCHESTRATOR_URL": "not an address"}) == ""


def _completed(asked: dict[str, str]) -> str:
    """What the program prints to a shell; nothing may be on standard error."""
    program = "import sys; sys.argv = ['hodei']; from hodei.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.mark.parametrize("path", ["", "tokens", *COMMANDS])
def test_the_help_has_no_type_beside_a_flag(path: str) -> None:
    assert "<bool>" not in CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "120"}).output
