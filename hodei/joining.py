"""The join token of `hodei worker`: from a file, standard input or the command line to the agent."""

import os
import sys
from pathlib import Path

import typer

from schemas.enrolment import LONGEST, PREFIX, JoinTokenText


def token_file(given: str) -> str:
    """The file from which the agent reads the join token. A token that is not in a file goes into an anonymous one,
    which the agent inherits: it stands in no environment, and not in the agent's command line."""
    if given != "-" and not given.startswith(PREFIX):
        _checked(_read(Path(given)))
        return str(Path(given).absolute())
    text = sys.stdin.read(LONGEST + 1) if given == "-" else given
    descriptor = os.memfd_create("join token", 0)  # inherited
    os.write(descriptor, _checked(text).text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return f"/dev/fd/{descriptor}"


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="'--join'") from None


def _checked(text: str) -> JoinTokenText:
    try:
        return JoinTokenText.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--join'") from None
