"""What a validation error means, in words for the person who wrote the value.

pydantic speaks of inputs, types and regular expressions; the API, the settings and the command line say what would be
right instead. Where the value stands is said by whoever shows the words.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic_core import ErrorDetails

from schemas.ids import UUID_PATTERN

SLUG: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
LABEL_KEY: Final = r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,99}$"
LABEL: Final = r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,99}=.{0,200}$"
VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
SHA256: Final = "^[0-9a-f]{64}$"
ID_TAIL: Final = "^[0-9a-f]{8}$"

_KEY: Final = "begins with a letter or a digit and has letters, digits, '_', '.', '/' and '-' only, at most 100 of them"
PATTERNS: Final[Mapping[str, str]] = {
    SLUG: "should begin with a letter or a digit and have letters, digits, '_', '.' and '-' only, at most 100 of them",
    LABEL_KEY: f"is not a label's key, which {_KEY}",
    LABEL: f"should be KEY=VALUE: a key {_KEY}, a value has at most 200 characters",
    VARIABLE: "is not a variable's name, which has letters, digits and '_' only and does not begin with a digit",
    ID_TAIL: "should be the last 8 characters of an id: digits and the letters a to f",
    SHA256: "should be a SHA-256 in hex: 64 digits and letters from a to f",
    UUID_PATTERN: "should be an id, a UUID in lower case as in 01932c07-6b5e-7cc0-a51f-0c5d3d9ad3c1",
}
"""What every regular expression of the schemas asks for."""

_KINDS: Final[Mapping[str, str]] = {
    "int": "should be a whole number",
    "float": "should be a number",
    "finite": "should be a number",
    "bool": "should be true or false",
    "dict": "should be an object",
    "model": "should be an object",
    "list": "should be a list",
    "set": "should be a list",
}
"""By the first word of the type of an error that says that a value is of another kind."""
_OF_ANOTHER_KIND: Final = frozenset({"type", "parsing", "parsing_size", "from_float", "attributes_type", "number"})


def what_would_be_right(error: ErrorDetails) -> str:
    """A clause that goes on where a name has stood: `timeout` "should be greater than 0"."""
    say = _WORDS.get(error["type"])
    if say is not None:
        return say(error.get("ctx", {}), error["msg"])
    kind, _, fault = error["type"].partition("_")
    if fault in _OF_ANOTHER_KIND and kind in _KINDS:
        return _KINDS[kind]
    text = error["msg"]
    for prefix in ("Value error, ", "Input ", "String ", "Value ", "Dictionary ", "List "):
        text = text.removeprefix(prefix)
    return text.replace(" after validation, not", ", not")


def _length(context: Mapping[str, object], msg: str) -> str:
    least = context.get("min_length")
    return "must not be empty" if least == 1 else msg.removeprefix("String ")


_WORDS: Final[Mapping[str, Callable[[Mapping[str, object], str], str]]] = {
    "string_pattern_mismatch": lambda context, msg: PATTERNS.get(str(context.get("pattern")), msg),
    "string_too_short": _length,
    "string_type": lambda _context, _msg: "should be a string",
    "string_unicode": lambda _context, _msg: "should be text in UTF-8",
    "extra_forbidden": lambda _context, _msg: "is not a known field",
    "missing": lambda _context, _msg: "is required",
}
