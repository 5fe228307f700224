"""Regular expressions that users write: a safe subset, matched in linear time.

They are compiled by the Rust engine of pydantic, which has neither look-around nor back references and so never
backtracks. Its cost grows with the size of the expression written out in full (`a{50}` counts 50), which is limited
here, as is the text. `\\d`, `\\w` and `\\s` stand for ASCII characters, as in JSON Schema.
"""

import re
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

MAX_PATTERN: Final = 200
"""The most characters of a pattern."""
MAX_SIZE: Final = 1000
"""The most characters that a pattern may ask for when its repetitions are written out."""
MAX_TEXT: Final = 1000
"""The most characters of a text that is held against a pattern."""

_WIDE: Final = 5
"""The size of a class that has most of Unicode in it: `.`, `[^a]`."""
_CLASSES: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0b\x0c\r "}
_REPETITION: Final = re.compile(r"\{(\d+)(,(\d*))?\}|[*+?]")
_GROUP: Final = re.compile(r"\((\?(:|i:|i\)|P?<[A-Za-z_]\w*>))?")
_REASON: Final = re.compile(r"error: (.+)|Compiled regex (exceeds size limit)")


def check(pattern: str) -> None:
    """Raises ValueError, in one clause, for a pattern that is not valid or too costly."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"has {len(pattern)} characters; a pattern has at most {MAX_PATTERN}")
    _compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches. Raises ValueError for a pattern that is not valid."""
    if len(text) > MAX_TEXT:
        return False
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> SchemaValidator:
    ascii_only, size = _read(pattern)
    if size > MAX_SIZE:
        raise ValueError(f"is too large: it asks for {size:,} characters with all repetitions, at most {MAX_SIZE:,}")
    _compile(ascii_only)  # by itself, as its brackets could close those around it
    return _compile(rf"\A(?:{ascii_only})\z")


def _compile(pattern: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        found = _REASON.search(str(error))
        raise ValueError(
            f"is not a valid pattern: {(found[1] or found[2]) if found else 'it cannot be read'}"
        ) from None


def _read(pattern: str) -> tuple[str, int]:
    """The pattern with its classes limited to ASCII, and its size with all repetitions written out."""
    out: list[str] = []
    sizes: list[int] = [0]
    """Of the groups that are open at this place, the outermost first."""
    last = at = 0
    """`last` is the size of what a repetition here would repeat."""
    while at < len(pattern):
        piece, last_before = pattern[at], last
        if found := _REPETITION.match(pattern, at):
            piece = found[0]
            most = int(found[3] or found[1]) if found[1] else 1
            last = min(last_before * max(most, 1), MAX_SIZE * MAX_SIZE)
            sizes[-1] += last - last_before
        elif piece == "(":
            group = _GROUP.match(pattern, at)
            if group is None or (pattern.startswith("(?", at) and group[0] == "("):
                raise ValueError("is not a valid pattern: look-around and flags other than i are not supported")
            piece = group[0]
            if not piece.endswith(")"):
                sizes.append(0)
            last = 0
        elif piece == ")":
            last = sizes.pop() if len(sizes) > 1 else 0
            sizes[-1] += last
        elif piece == "[":
            piece, last = _class(pattern, at)
            out.append(_in_ascii(piece))
            sizes[-1] += last
            at += len(piece)
            continue
        else:
            piece = pattern[at : at + 2] if piece == "\\" else piece
            last = _WIDE if piece == "." or piece[1:] in ("D", "W", "S") else 1
            sizes[-1] += last
        out.append(_in_ascii(piece))
        at += len(piece)
    return "".join(out), sum(sizes)


def _class(pattern: str, start: int) -> tuple[str, int]:
    """The class in brackets that begins here, and its size."""
    at = start + (2 if pattern.startswith("[^", start) else 1)
    at += pattern.startswith("]", at)
    depth = 1
    while at < len(pattern) and depth:
        if pattern[at] == "\\":
            at += 1
        else:
            depth += {"[": 1, "]": -1}.get(pattern[at], 0)
        at += 1
    text = pattern[start:at]
    return text, _WIDE if re.search(r"\[\^|\\[DWS]", text) else 1


def _in_ascii(piece: str) -> str:
    """A piece of a pattern, with `\\d` and the like limited to ASCII."""

    def narrowed(found: re.Match[str]) -> str:
        letter = found[1]
        if letter in "pP":
            raise ValueError("is not a valid pattern: classes of Unicode are not supported")
        if letter.lower() not in _CLASSES:
            return found[0]
        return f"[{'^' if letter.isupper() else ''}{_CLASSES[letter.lower()]}]"

    return re.sub(r"\\(.)", narrowed, piece, flags=re.DOTALL)
