"""Declarations of parameters as JSON, as pipelines and jobs have them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.params import ParamSpec

_DECLARED: Final[TypeAdapter[dict[str, ParamSpec]]] = TypeAdapter(dict[str, ParamSpec])


def read_declared(value: Any) -> dict[str, ParamSpec]:
    """The declarations from a parsed column."""
    return _DECLARED.validate_python(value) if value else {}


def write_declared(declared: Mapping[str, ParamSpec]) -> str:
    """The declarations as a column."""
    return _DECLARED.dump_json(dict(declared)).decode() if declared else "{}"
