"""Reads what a process wrote to `$HODEI_OUTPUT`: lines `NAME=value`, and blocks from `NAME<<END` to a line `END`.

A line ends with LF or CRLF, text is UTF-8 without NUL, empty lines between outputs mean nothing, and the last value of
a name counts. Pure: the files are in `output_files`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from schemas.model import on_one_line
from schemas.outputs import NAME, VARIABLE

SHOWN: Final = 80
"""The most characters of a bad line that are shown."""

_LINE: Final = re.compile(f"({NAME})(=|<<)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """The outputs of an execution. `fault` is why the file is not valid, in one line; `outputs` are then those before
    the bad line."""

    outputs: dict[str, str] = field(default_factory=dict)
    fault: str | None = None


NOTHING: Final = Written()
"""An execution without outputs."""


def parse(data: bytes) -> Written:
    """The outputs in a file with this content."""
    outputs: dict[str, str] = {}
    lines = enumerate(data.split(b"\n"), 1)
    try:
        for number, raw in lines:
            if not (line := _text(number, raw)):
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                raise _BadLine(number, raw, "is neither NAME=value nor NAME<<END")
            name, sign, rest = found.groups()
            if sign == "<<" and not rest:
                raise _BadLine(number, raw, "begins a block and does not name its end")
            outputs[name] = rest if sign == "=" else _block(lines, _Begin(number, raw, rest))
    except _BadLine as error:
        return Written(outputs, str(error))
    return Written(outputs)


class _BadLine(Exception):
    def __init__(self, number: int, raw: bytes, fault: str) -> None:
        line = on_one_line(raw.decode(errors="backslashreplace").removesuffix("\r"))
        shown = line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
        super().__init__(f"line {number} of ${VARIABLE} {fault}: {shown}")


@dataclass(frozen=True, slots=True)
class _Begin:
    """The line that begins a block."""

    number: int
    raw: bytes
    end: str


def _block(lines: Iterator[tuple[int, bytes]], begin: _Begin) -> str:
    """The text of a block; its end is consumed."""
    text: list[str] = []
    for number, raw in lines:
        line = _text(number, raw)
        if line == begin.end:
            return "\n".join(text)
        text.append(line)
    raise _BadLine(begin.number, begin.raw, "begins a block without an end")


def _text(number: int, raw: bytes) -> str:
    if b"\0" in raw:
        raise _BadLine(number, raw, "has a NUL character")
    try:
        return raw.decode().removesuffix("\r")
    except UnicodeDecodeError:
        raise _BadLine(number, raw, "is not UTF-8") from None
