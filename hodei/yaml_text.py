"""Writes plain data as YAML 1.2 that a person likes to read, and that a reader of YAML 1.1 reads in the same way.

The orchestrator reads YAML; this program only writes it. What is written comes back without loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

WIDTH: Final = 100
"""A list that fits a line of so many characters stands on one."""

_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Texts that YAML 1.1 or 1.2 takes for something else, in any case."""
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_FLOW: Final = frozenset(",[]{}?")
"""What ends a text without quotes within brackets. libyaml takes a `?` there for the sign of a key, which YAML 1.2 does
not."""
_STEP: Final = "  "


def to_yaml(value: Mapping[str, object]) -> str:
    """A map of text, numbers, true, false, null, lists and maps as YAML. The keys keep their order."""
    return "".join(f"{line}\n" for line in _map(value, ""))


def _map(value: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, inner in value.items():
        name = f"{indent}{_key(key)}:"
        match inner:
            case Mapping() if inner:
                yield name
                yield from _map(inner, indent + _STEP)
            case list() if inner:
                flow = _flow(inner)
                if flow is not None and len(name) + len(flow) < WIDTH:
                    yield f"{name} {flow}"
                else:
                    yield name
                    yield from _list(inner, indent + _STEP)
            case _:
                yield from _leaf(f"{name} ", inner, indent)


def _list(value: Sequence[object], indent: str) -> Iterator[str]:
    for inner in value:
        match inner:
            case Mapping() if inner:
                lines = _map(inner, indent + _STEP)
            case list() if inner:
                lines = _list(inner, indent + _STEP)
            case _:
                yield from _leaf(f"{indent}- ", inner, indent)
                continue
        yield f"{indent}- {next(lines).lstrip(' ')}"
        yield from lines


def _leaf(before: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, str) and _is_block(value):
        yield f"{before}{'|' if value.endswith(chr(10)) else '|-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"{indent}{_STEP}{line}" if line else ""
    else:
        yield before + _scalar(value, flow=False)


def _flow(value: Sequence[object]) -> str | None:
    """A list of single values on one line, or None for any other list."""
    if any(isinstance(one, Mapping | list) or (isinstance(one, str) and "\n" in one) for one in value):
        return None
    return f"[{', '.join(_scalar(one, flow=True) for one in value)}]"


def _scalar(value: object, *, flow: bool) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return value if _is_plain(value, flow=flow) else _quoted(value)
        case Mapping():
            return "{}"
        case list():
            return "[]"
    raise TypeError(f"{type(value).__name__} cannot be written as YAML")


def _key(text: str) -> str:
    return text if _is_plain(text, flow=True) and ":" not in text and "#" not in text else _quoted(text)


def _is_plain(text: str, *, flow: bool) -> bool:
    """Whether a text needs no quotes. One that begins with a digit or a sign gets some: it may look like a number or a
    date."""
    if not text or text.lower() in _WORDS or not text.isprintable():
        return False
    first = text[0]
    if not (first.isalpha() or first in "_/$(" or text.startswith("./")):
        return False
    if text.endswith((" ", ":")) or ": " in text or " #" in text:
        return False
    return not flow or (_FLOW.isdisjoint(text) and ":" not in text)


def _is_block(text: str) -> bool:
    """Whether a text of several lines can stand as it is, under a `|`."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and all(line.replace("\t", "").isprintable() and line == line.rstrip() for line in lines)
        and lines[0][:1].strip() != ""
        and lines[-1] != ""
    )


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(one) or (one if one.isprintable() else _escape(one)) for one in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
