"""Outputs of a step: the values that its process hands on by writing them to the file that `$HODEI_OUTPUT` names.

The worker's agent reads the file after the process has ended; the values stand with the task and in its events. The
output that a process prints is another thing (`schemas.output`).
"""

from typing import Final

VARIABLE: Final = "HODEI_OUTPUT"
"""The variable with the path of the file."""

MAX_OUTPUTS: Final = 64 << 10
"""The most bytes of the file. As JSON they take at most six times as many, which every NATS server takes that the
platform works with."""

NAME: Final = "[A-Za-z_][A-Za-z0-9_]{0,99}"
"""What the name of an output looks like, as a regular expression."""
