"""Messages for the terminal. A line that cannot be written is dropped, so that `hodei up | head` goes on."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from rich.console import Console, RenderableType

from hodei.escapes import escaped


def say(text: str) -> None:
    """Print a line, or an error of several lines, on standard error."""
    write(sys.stderr, f"hodei: {escaped(text)}\n")


def progress(line: str) -> None:
    """Print one line on standard output at once: the progress of a command."""
    write(sys.stdout, f"hodei: {line}\n")


def show(what: RenderableType) -> None:
    """Print a table or the like on standard output. In a file or a pipe its lines are not wrapped."""
    width = None if sys.stdout.isatty() else 1000
    drawn = io.StringIO()
    Console(file=drawn, width=width, force_terminal=sys.stdout.isatty()).print(what)
    write(sys.stdout, drawn.getvalue())


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def write(stream: TextIO, text: str) -> None:
    """Write what can be written: the stream may be closed, its disk full, its encoding limited."""
    encoding = stream.encoding or "utf-8"
    with suppress(OSError, ValueError):  # there is no other place to report it to
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()


def give_up() -> None:
    """Drop what could not be written, at the end of a process: Python would try once more, and turn the failure into
    a message and exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
