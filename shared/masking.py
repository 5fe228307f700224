"""Masks the values that look like secrets in environments, parameters and events, for display.

`shown_environment` in the orchestrator's migrations does the same in SQL; a test compares the two. Not here: log lines,
which `shared.telemetry.logging` masks.
"""

import re
from collections.abc import Mapping
from typing import Final

from schemas.params import Scalar

HIDDEN: Final = "***"
_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|private|api_?key|access_?key|authorization|(^|_)(auth|pw|pwd|key)(_|$)",
    re.IGNORECASE,
)
_IN_ADDRESS: Final = re.compile(r"(://[^/:@ ]*:)[^/@ ]+@")
_ENVIRONMENTS: Final = frozenset({"env", "params", "inputs", "outputs"})
"""The members of events whose values reach the environment of a process, or come from one."""
_MEMBER: Final = re.compile(r'("([^"\\]*)"\s*:\s*")((?:[^"\\]|\\.)*)', re.DOTALL)


def shown(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with `***` for values whose name looks like a secret's, and for passwords in URLs."""
    return {name: _shown_value(name, value) for name, value in env.items()}


def shown_params(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The same for a job's parameters, which keep their types otherwise."""
    return {name: _shown_scalar(name, value) for name, value in params.items()}


def shown_event(event: object) -> object:
    """An event (JSON) with every environment in it masked. In an event that is kept as text, perhaps truncated, every
    string member counts as a variable."""
    match event:
        case str():
            return _MEMBER.sub(lambda found: found[1] + _shown_value(found[2], found[3]), event)
        case list():
            return [shown_event(one) for one in event]
        case dict():
            return {
                name: _shown_variables(value) if name in _ENVIRONMENTS and isinstance(value, dict) else _inner(value)
                for name, value in event.items()
            }
        case _:
            return event


def _inner(value: object) -> object:
    return shown_event(value) if isinstance(value, dict | list) else value


def _shown_variables(variables: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _shown_scalar(name, value) if isinstance(value, str | int | float) else HIDDEN
        for name, value in variables.items()
    }


def _shown_scalar(name: str, value: Scalar) -> Scalar:
    if isinstance(value, str):
        return _shown_value(name, value)
    return HIDDEN if _NAME.search(name) else value


def _shown_value(name: str, value: str) -> str:
    return HIDDEN if _NAME.search(name) else _IN_ADDRESS.sub(rf"\1{HIDDEN}@", value)
