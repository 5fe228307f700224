"""Outputs of a step: the values that its process hands on by writing them to the file that `$HODEI_OUTPUT` names.

The worker's agent reads the file after the process has ended; the values stand with the task and in its events. The
output that a process prints is another thing (`schemas.output`).
"""

import re
from collections.abc import Mapping
from typing import Final

from schemas.model import on_one_line

VARIABLE: Final = "HODEI_OUTPUT"
"""The variable with the path of the file."""

MAX_OUTPUTS: Final = 64 << 10
"""The most bytes of the file. As JSON they take at most six times as many, which every NATS server takes that the
platform works with."""

NAME: Final = "[A-Za-z_][A-Za-z0-9_]{0,99}"
"""What the name of an output looks like, as a regular expression."""

_NAME: Final = re.compile(NAME)


def fault_of(outputs: Mapping[str, str]) -> str | None:
    """Why no process can have written these outputs, in one line; None if one can."""
    size = 0
    for name, value in outputs.items():
        if not _NAME.fullmatch(name):
            return f"{on_one_line(name[:100])} cannot be the name of an output"
        if "\0" in value:
            return f"the output {name} has a NUL character"
        try:
            size += len(name) + len(value.encode())
        except UnicodeEncodeError:
            return f"the output {name} is not Unicode text"
    return (
        f"the outputs have {size:,} bytes; those of a step have at most {MAX_OUTPUTS:,}" if size > MAX_OUTPUTS else None
    )
