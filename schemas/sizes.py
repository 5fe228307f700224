"""How many bytes a process takes, and how they are counted before it is started.

The limits are Linux's (execve(2), fs/exec.c): one argument or variable has 131,072 bytes with the NUL at its end; all
arguments and variables together, each with its NUL and a pointer of 8 bytes, have a quarter of the stack's limit, which
is 2 MiB by default. Sizes are those of UTF-8, not of characters.
"""

from collections.abc import Iterable, Mapping
from typing import Final

MAX_ARGUMENT: Final = 131_071
"""Bytes in one argument of a process: Linux's MAX_ARG_STRLEN without the NUL at its end."""

MAX_VARIABLE: Final = 131_072
"""Bytes in one environment variable of a process, as `NAME=value` and the NUL at its end."""

MAX_PROCESS: Final = (2 << 20) - (128 << 10)
"""Bytes in all arguments and variables of a step; 128 KiB are left for the variables that its worker adds, of which
`HODEI_OUTPUT` takes MAX_PATH at most."""

PARAMETER: Final = "HODEI_PARAM_"
"""What the variable of a job's parameter begins with; the parameter's name follows in upper case."""

AXIS: Final = "HODEI_MATRIX_"
"""What the variable of a matrix's axis begins with; the axis's name follows in upper case."""

MAX_PATH: Final = 4095
"""Bytes in a path: Linux's PATH_MAX without the NUL at its end."""

MAX_PIPELINE_TEXT: Final = 256 * 1024
"""Bytes in the text of a pipeline's file."""

_POINTER: Final = 8
_WIDEST: Final = 4
"""Bytes that one character takes at most in UTF-8."""


def parameter_variable(name: str) -> str:
    """The variable in which a step finds a parameter of its job."""
    return PARAMETER + name.upper()


def variable_bytes(name: str, value: str) -> int:
    """The bytes of one variable, as the process takes them."""
    return len(name) + len(value.encode()) + 2


def environment_bytes(env: Mapping[str, str]) -> int:
    """The bytes of an environment, pointers included."""
    return sum(variable_bytes(name, value) + _POINTER for name, value in env.items())


def argument_bytes(argv: Iterable[str]) -> int:
    """The bytes of an argument vector, pointers included."""
    return sum(len(one.encode()) + 1 + _POINTER for one in argv)


def environment_characters(env: Mapping[str, str]) -> int:
    """A quick measure: an environment takes at most four times as many bytes."""
    return sum(len(name) + len(value) + 2 + _POINTER for name, value in env.items()) if env else 0


def command_characters(command: str | list[str]) -> int:
    """A quick measure: quoted for a shell, a command takes at most twenty times as many bytes."""
    return len(command) + 1 if isinstance(command, str) else sum(map(len, command)) + len(command)


def too_large_variables(env: Mapping[str, str]) -> list[str]:
    """What is wrong with the variables that no process takes, one sentence each."""
    return [
        f"{name} takes {size:,} bytes with its name; a process takes at most {MAX_VARIABLE:,} in one variable"
        for name, value in env.items()
        if _WIDEST * len(value) + len(name) + 2 > MAX_VARIABLE and (size := variable_bytes(name, value)) > MAX_VARIABLE
    ]
