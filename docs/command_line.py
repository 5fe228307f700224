"""Writes docs/cli.md from the command line itself: each command with its usage, example, exit codes and JSON."""

import re
from collections.abc import Iterator
from typing import Any, Final

import typer
from pydantic import BaseModel

from hodei import api, diagnosis, doctor
from hodei.cli import app
from hodei.manual import MANUAL, ORDINARY, Exits

_INTRO: Final = """\
# The command line

Generated from the program by `make docs`. `hodei COMMAND --help` lists the options of a command.
[README](../README.md#use-it) shows the commands at work, [lists.md](lists.md) the filters.

- Ids are complete, or their last 8 characters. Pipelines, schedules and active tokens may be named by their names as
  well.
- Results are on standard output, remarks and errors on standard error, each line of them beginning with `hodei: `.
- In a terminal that is too narrow for a table, ids are their last 8 characters and times are short. If that is not
  enough, less important columns are left out, which the last line names, and one is cut. In a pipe tables are
  complete.
- `--profile NAME` and `--ca FILE` stand before the command.

## Exit codes

| code | of most commands |
|---|---|
"""
_SIGNALS: Final = """\
| 130 | interrupted by Ctrl-C |

A command that follows a job to its end exits as timeout(1), env(1) and shells do:

| code | of `run`, `pipelines run`, `wait`, `demo` and `rerun --follow` |
|---|---|
"""
_CTRL_C: Final = """\

Ctrl-C in `hodei run` cancels the job, and `hodei run` waits for its end. A second Ctrl-C leaves at once. Each time a
line on standard error says which of the two happens, and what became of the job.

## Completion

Completion of commands, options and ids, in one of:

```bash
echo 'eval "$(hodei completion bash)"' >>~/.bashrc
echo 'eval "$(hodei completion zsh)"' >>~/.zshrc                  # after compinit
hodei completion fish >~/.config/fish/completions/hodei.fish
```

Ids are those of the platform that the command would use, the newest first, in their short form; zsh and fish show the
name and the state beside them. The platform has a second to answer. If it does not, no ids are offered, and no
message disturbs the line.

## When something does not work

`hodei doctor` checks what a command needs, and says what is wrong and how to mend it: whether the services answer at
their addresses and have the same version, PostgreSQL and NATS, the clocks of all machines, access and the token, the
workers, dead letters, and whether the console's pages reach all services (their public addresses and CORS). A check
is `ok`, a `warning`, or `wrong`; only what is wrong makes the exit code 1.

## JSON

With `--json` a command prints JSON: one object, or one object a line. Fields are added over time, and neither renamed
nor removed. Most are the models of the API, which the OpenAPI documents describe (`/openapi.json`); their fields are
listed [below](#fields). An older platform may not send a field with a `?`.

## Commands
"""
_MODEL: Final = re.compile(r"`([A-Z][A-Za-z]+)`")


def page() -> str:
    """The whole page."""
    follows = MANUAL["run"].exits
    parts = [_INTRO + _table(ORDINARY) + _SIGNALS + _table(follows) + _CTRL_C]
    for path, command in sorted(_commands(typer.main.get_command(app)), key=lambda one: list(MANUAL).index(one[0])):
        entry = MANUAL[path]
        about = (command.help or "").split("\n\n")[0]
        lines = [f"### hodei {path}", about, "```bash\n" + "\n".join(entry.examples) + "\n```"]
        if entry.json:
            lines.append(f"`--json`: {entry.json}.")
        if entry.exits not in (ORDINARY, follows):
            codes = "; ".join(f"{code}: {meaning}" for code, meaning in entry.exits.items())
            lines.append(f"Exit codes: {codes}.")
        parts.append("\n\n".join(lines) + "\n")
    parts.append("## Fields\n")
    for name in sorted({name for entry in MANUAL.values() for name in _MODEL.findall(entry.json)}):
        infos = model(name).model_fields.items()
        fields = ", ".join(_field(info.serialization_alias or each, info.is_required()) for each, info in infos)
        parts.append(f"### {name}\n\n{fields}\n")
    return "\n".join(parts)


def model(name: str) -> type[BaseModel]:
    """The model that an entry of the manual names."""
    for module in (api, diagnosis, doctor):
        found = getattr(module, name, None)
        if found is not None:
            assert issubclass(found, BaseModel)
            return found
    raise KeyError(name)


def _field(name: str, required: bool) -> str:
    return f"`{name}`" if required else f"`{name}`?"


def _table(exits: Exits) -> str:
    return "".join(f"| {code} | {meaning} |\n" for code, meaning in exits.items())


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if (inner := getattr(command, "commands", None)) is None:
        yield " ".join(path), command
        return
    for name, one in inner.items():
        yield from _commands(one, (*path, name))
