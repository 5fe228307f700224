"""Reads the values of the command line, with errors that name the option or argument.

Each error is a `typer.BadParameter`. `CommandLine` prints all of them in the same way, those that typer raises
included: `hodei: `, the error, where to find help; exit code 2.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.exceptions import TyperException

from schemas.durations import read_duration
from schemas.model import readable_location
from schemas.words import what_would_be_right

T = TypeVar("T")


def without_types_of_flags(params: list[Any]) -> list[Any]:
    """Parameters of which the help shows no type beside those that take no value: typer shows `<bool>`."""
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params


class Group(TyperGroup):
    """A group of commands; `cls` of all but the outermost app."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, with --help."""
        return without_types_of_flags(super().get_params(ctx))


class CommandLine(Group):
    """The whole command line; `cls` of the outermost app."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command and exit. typer would show errors in a box, which breaks lines and cannot be searched."""
        try:
            code = super().main(*args, **(extra | {"standalone_mode": False}))
        except TyperException as error:
            _show(error)
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _show(error: TyperException) -> None:
    context = getattr(error, "ctx", None)
    text = error.format_message().removeprefix("Invalid value: ").replace("Value error, ", "")
    if not text:
        return  # a group without a command has shown its help
    text = text.replace("Input should", "should").removesuffix(".")
    if text in ("No such option: --profile", "No such option: --ca"):
        text += " (it stands before the command: hodei --profile NAME jobs)"
    typer.echo(f"hodei: {text[0].lower()}{text[1:]}", err=True)
    if context is not None:
        typer.echo(f"hodei: see '{context.command_path} --help'", err=True)


def folder(text: str) -> Path:
    """A folder's path. An empty text, often an unset variable of a script, does not mean the current folder."""
    if not text:
        raise typer.BadParameter("must not be empty: name a folder")
    return Path(text)


def file(text: str) -> Path:
    """A file's path."""
    return Path(given(text))


def given(text: str) -> str:
    """A text that is not empty: an empty option is not the same as none."""
    if not text:
        raise typer.BadParameter("must not be empty")
    return text


def moment_before(option: str, text: str, now: datetime) -> datetime:
    """The moment that lies a time span such as 90s, 30m, 12h or 30d before now, but not before 1970."""
    span = read_duration(text)
    if span is None:
        raise typer.BadParameter(f"{text!r}: a number and s, m, h or d is needed, as in 30d", param_hint=f"'{option}'")
    if span > now - datetime.fromtimestamp(0, UTC):
        raise typer.BadParameter(f"{text!r}: must not reach back beyond 1970", param_hint=f"'{option}'")
    return now - span


def moment(text: str) -> datetime:
    """A time such as 2026-11-01T09:00:00Z (local without an offset), or how long ago it was: 12h."""
    try:
        span = read_duration(text)
        return datetime.now(UTC) - span if span is not None else datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, OverflowError) or re.fullmatch(r"[0-9]+[smhd]", text):
            raise typer.BadParameter(f"{text!r}: is too far away") from None
        right = "a time is needed, as in 2026-11-01T09:00:00Z, or how long ago it was, as in 12h"
        raise typer.BadParameter(f"{text!r}: {right}") from None


def moment_to_come(text: str) -> datetime:
    """A time such as 2026-12-01T09:00:00Z (local without an offset), or in how long it will be: 12h."""
    try:
        span = read_duration(text)
        return datetime.now(UTC) + span if span is not None else datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, OverflowError) or re.fullmatch(r"[0-9]+[smhd]", text):
            raise typer.BadParameter(f"{text!r}: is too far away") from None
        right = "a time is needed, as in 2026-12-01T09:00:00Z, or in how long it will be, as in 12h"
        raise typer.BadParameter(f"{text!r}: {right}") from None


def moment_ahead(text: str) -> datetime:
    """A time as `moment_to_come` reads it, which must be in the future."""
    moment = moment_to_come(text)
    if moment <= datetime.now(UTC):
        raise typer.BadParameter(f"{text!r}: should be in the future")
    return moment


def seconds(text: str) -> float:
    """A length of time in seconds: 90, 1.5, 90s, 30m, 12h, 1d."""
    span = read_duration(text)
    if span is not None:
        return span.total_seconds()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise typer.BadParameter(f"{text!r}: seconds are needed, or a number and s, m, h or d, as in 90s or 12h")
    return float(text)


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """A map from KEY=VALUE texts."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r}: KEY=VALUE is needed", param_hint=f"'{option}'")
        found[key] = value
    return found


def environment(option: str, texts: Sequence[str]) -> dict[str, str]:
    """A map from NAME=VALUE texts; NAME alone takes the value from this environment."""
    variables = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals and key not in os.environ:
            raise typer.BadParameter(f"{key!r} is not set here; give it as {key}=VALUE", param_hint=f"'{option}'")
        variables[key] = value if equals else os.environ[key]
    return variables


def checked(options: Mapping[str, str], validate: Callable[[], T]) -> T:
    """Return the result of `validate`. An error of pydantic is raised for the option that `options` has for its field;
    the option "" is for the whole value."""
    try:
        return validate()
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        loc = readable_location(wrong["loc"])
        raise refusal(options, loc, what_would_be_right(wrong)) from None
    except ValueError as error:
        raise refusal(options, (), str(error)) from None


def refusal(options: Mapping[str, str], loc: Sequence[str | int], right: str) -> typer.BadParameter:
    """The error for a field, named by its option or argument. The text names the part of the field, if there is one."""
    field = str(loc[0]) if loc else ""
    parts = [repr(part) for part in loc[1:] if isinstance(part, str) and part not in ("[key]", "max_attempts")]
    where = options.get(field) or options.get("")
    named = [*([] if field in options or not field else [field]), *parts, right]
    return typer.BadParameter(" ".join(named), param_hint=f"'{where}'" if where else None)
