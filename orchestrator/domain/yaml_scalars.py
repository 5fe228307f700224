"""The value of a YAML scalar without quotes, by the core schema (YAML 1.2.2, chapter 10.3).

The libraries' resolvers also take `1_000`, `0b1` and `12:30` for numbers, which YAML 1.2 does not. Pure.
"""

import re
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_LONGEST_NUMBER: Final = 400
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {**dict.fromkeys(("true", "True", "TRUE"), True), **dict.fromkeys(("false", "False", "FALSE"), False)}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_OCTAL: Final = re.compile(r"0o[0-7]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolved(text: str) -> tuple[Scalar, str | None]:
    """The value of a scalar without quotes, and what is wrong with it."""
    if text in _NULL:
        return None, None
    if text in _BOOLEAN:
        return _BOOLEAN[text], None
    if text[0] not in "-+.0123456789":
        return text, None
    if _NOT_FINITE.fullmatch(text):
        return None, f"{text} is not a number that a field can have; put text in quotes"
    for form, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if form.fullmatch(text):
            if len(text) > _LONGEST_NUMBER:
                return None, f"a number of {len(text):,} digits is too long; put text in quotes"
            return int(text if base == 10 else text[2:], base), None
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            return None, f"{text[:_LONGEST_NUMBER]} is too large a number; put text in quotes"
        return value, None
    return text, None
