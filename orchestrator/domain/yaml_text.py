"""Reads YAML 1.2 text into a tree of nodes, each with its line and column.

Here: the text's syntax, the core schema (YAML 1.2.2, chapter 10.3: `no` and `on` are text, `0o17` is 15), anchors,
aliases, merge keys, and the limits that keep hostile text cheap. Not here: what the fields mean (`document`). Pure.

The events come from libyaml, which is some twenty times as fast as a parser in Python. Nothing is expanded while they
are read: an alias refers to its node, and what it would expand to is only counted.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from orchestrator.domain.yaml_scalars import Scalar, resolved
from orchestrator.domain.yaml_syntax import right_syntax
from schemas.sizes import MAX_PIPELINE_TEXT

MAX_DEPTH: Final = 32
"""How deep lists and maps may be nested, aliases expanded. libyaml's time grows with the square of the depth."""
MAX_NODES: Final = 50_000
"""The most keys and values of one text, aliases expanded."""
MAX_CHARACTERS: Final = 1 << 20
"""The most characters of all keys and values, aliases expanded."""
MAX_FAULTS: Final = 100
"""After so many faults, the rest of the text is not read."""

Loc: TypeAlias = tuple[str | int, ...]

_SHOWN: Final = 60
_LINE_END: Final = re.compile(r"\r\n?|\n")
# YAML 1.2.2, [1] c-printable, less the line ends of YAML 1.1, at which libyaml would break lines.
_UNPRINTABLE: Final = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\U00010000-\U0010ffff]"
)
_SURROGATES: Final = re.compile(
    r"(?<!\\)(?P<before>(?:\\\\)*)\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)


class Position(NamedTuple):
    """A place in a text; both numbers count from 1, the column in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class TextFault:
    """One error in a text: the path of the field, what is wrong and what would be right, and where it stands."""

    loc: Loc
    msg: str
    type: str
    position: Position


class BadText(ValueError):
    """The text cannot be read; `faults` has every fault found, in the order of the text."""

    def __init__(self, faults: list[TextFault]) -> None:
        faults = sorted(faults, key=lambda fault: fault.position)
        super().__init__("; ".join(fault.msg for fault in faults))
        self.faults = tuple(faults)


class Entry(NamedTuple):
    """The value of a key, and where the key stands."""

    key: Position
    node: "Node"


@dataclass(slots=True)
class Node:
    """A value at its place. `written` is the text of a scalar without quotes, as it stands in the file.

    Several parents share a node with an anchor, so nodes are not changed once they are complete.
    """

    position: Position
    value: "Scalar | list[Node] | dict[str, Entry]" = None
    written: str | None = None
    nodes: int = 1
    characters: int = 0
    depth: int = 0
    """What it is with its aliases expanded."""

    def plain(self) -> object:
        """The value as strings, numbers, lists and dicts."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        return self.value


def read(text: str) -> Node:
    """The root of the text's only document, a map. Raises BadText."""
    if (size := len(text.encode(errors="surrogatepass"))) > MAX_PIPELINE_TEXT:
        raise BadText(
            [_at_start(f"has {size:,} bytes; a pipeline's text takes at most {MAX_PIPELINE_TEXT:,}", "too_large")]
        )
    text = text.removeprefix("\ufeff")
    if (wrong := _UNPRINTABLE.search(text)) is not None:
        raise BadText([_unprintable(text, wrong)])
    composer = _Composer()
    try:
        composer.compose(YAML(typ="safe").parse(_with_whole_characters(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark is not None else Position(1, 1)
        composer.stop(right_syntax(error, text, position), "yaml_syntax", position)
    return composer.root()


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not been read."""

    node: Node
    anchor: str | None
    nodes: int
    characters: int
    """What had been counted before it."""
    key: tuple[str, Position] | None = None
    merged: list[Node] = field(default_factory=list)
    merge_key: bool = False
    again: bool = False
    """The key at hand was given before: its value is read and dropped."""


class _Composer:
    """Makes a tree of events. Nothing in it recurses."""

    def __init__(self) -> None:
        self._faults: list[TextFault] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._root: Node | None = None
        self._documents = 0
        self._nodes = 0
        self._characters = 0

    def root(self) -> Node:
        """The root, a map. Raises BadText."""
        root = self._root
        if root is None or (root.value is None and root.written is not None):
            self._faults.append(_at_start("is empty: a pipeline has at least a name, as in 'name: nightly'", "empty"))
        elif not isinstance(root.value, dict):
            what = "a list" if isinstance(root.value, list) else "a single value"
            right = "a pipeline is a map of its fields, as in 'name: nightly'"
            self._faults.append(TextFault((), f"is {what}; {right}", "not_a_map", root.position))
        if self._faults or root is None:
            raise BadText(self._faults)
        return root

    def stop(self, msg: str, type: str, position: Position) -> NoReturn:
        """Raise BadText for this fault and those found before: the rest of the text cannot be read."""
        self._faults.append(TextFault(self._loc(), msg, type, position))
        raise BadText(self._faults) from None

    def compose(self, events: Iterator[object]) -> None:
        """Read all events. Raises BadText where reading cannot go on."""
        for event in events:
            match event:
                case DocumentStartEvent():
                    self._begin_document(event)
                case ScalarEvent():
                    self._add(self._scalar(event), event.anchor)
                case AliasEvent():
                    self._alias(event)
                case CollectionStartEvent():
                    self._begin(event)
                case CollectionEndEvent():
                    self._end()

    def _begin_document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        position = _position(event)
        if self._documents > 1:
            self.stop("a second document begins here: a file has one pipeline", "several_documents", position)
        if event.version is not None and tuple(event.version) != (1, 2):
            self._fault("the text is read as YAML 1.2: leave the %YAML directive out", "yaml_version", position)

    def _scalar(self, event: ScalarEvent) -> Node:
        self._refuse_tag(event)
        position, text = _position(event), str(event.value)
        plain = not event.style and event.implicit[0]
        node = Node(position, text, text if plain else None, characters=len(text))
        self._count(1, len(text), position)
        if plain:
            value, fault = resolved(text)
            node.value = value
            if fault:
                self._fault(fault, "number", position)
        return node

    def _alias(self, event: AliasEvent) -> None:
        name, position = str(event.anchor), _position(event)
        target = self._anchors.get(name)
        if target is None:
            inside = name in self._anchors
            msg = f"*{name} stands within &{name} itself" if inside else f"there is no anchor &{name} before this alias"
            self._fault(msg, "alias", position)
            target = Node(position)
        if len(self._open) + target.depth > MAX_DEPTH:
            self._too_deep(position)
        self._count(target.nodes, target.characters, position)
        self._add(target, None, position)

    def _begin(self, event: CollectionStartEvent) -> None:
        self._refuse_tag(event)
        position = _position(event)
        if self._open and self._wants_key(self._open[-1]):
            self.stop("a key is text, not a list or a map", "key_type", position)
        if len(self._open) >= MAX_DEPTH:
            self._too_deep(position)
        node = Node(position, {} if isinstance(event, MappingStartEvent) else [])
        self._open.append(_Open(node, event.anchor, self._nodes, self._characters))
        self._count(1, 0, position)
        if event.anchor:
            self._anchors[event.anchor] = None

    def _end(self) -> None:
        opened = self._open.pop()
        node = opened.node
        if isinstance(node.value, dict):
            for base in opened.merged:
                assert isinstance(base.value, dict)
                self._count(len(base.value), 0, node.position)
                for key, entry in base.value.items():
                    node.value.setdefault(key, entry)
            children = [entry.node for entry in node.value.values()]
        else:
            assert isinstance(node.value, list)
            children = node.value
        node.nodes, node.characters = self._nodes - opened.nodes, self._characters - opened.characters
        node.depth = 1 + max((child.depth for child in children), default=0)
        self._add(node, opened.anchor)

    def _add(self, node: Node, anchor: str | None, used: Position | None = None) -> None:
        """Put a complete node where it stands. `used` is the place of the alias that stands for it."""
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif self._wants_key(parent):
            self._key(parent, node, used or node.position)
        elif parent.merge_key:
            self._merge(parent, node, used or node.position)
            parent.merge_key = False
        else:
            assert parent.key is not None
            assert isinstance(parent.node.value, dict)
            name, position = parent.key
            if not parent.again:
                parent.node.value[name] = Entry(position, node)
            parent.key = None

    def _wants_key(self, parent: _Open) -> bool:
        return isinstance(parent.node.value, dict) and parent.key is None and not parent.merge_key

    def _key(self, parent: _Open, node: Node, position: Position) -> None:
        assert isinstance(parent.node.value, dict)
        if node.written == "<<":
            parent.merge_key = True
            return
        name = node.value if isinstance(node.value, str) else node.written
        if not isinstance(name, str):
            self.stop("a key is text, not a list or a map", "key_type", position)
        if not isinstance(node.value, str):
            msg = f'{_short(name)} is not text, as a key is; put it in quotes: "{_short(name)}"'
            self._fault(msg if name else "a key is missing before the ':'", "key_type", position, name)
        first = parent.node.value.get(name)
        parent.again = first is not None
        if first is not None:
            msg = f"the key {_short(name)} is used twice in this map, first on line {first.key.line}"
            self._fault(msg, "repeated_key", position, name)
        parent.key = (name, position)

    def _merge(self, parent: _Open, node: Node, position: Position) -> None:
        """Note the maps whose entries a merge key adds: the first one that has a key wins, the map itself first."""
        bases = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(base.value, dict) for base in bases):
            self._fault("<< takes a map, or a list of maps, mostly as an alias: '<<: *name'", "merge", position)
            return
        parent.merged.extend(bases)

    def _refuse_tag(self, event: NodeEvent) -> None:
        if (tag := getattr(event, "tag", None)) is not None:
            word = str(tag).replace("tag:yaml.org,2002:", "!!")
            msg = f"the tag {_short(word)} is not supported: leave it out, and put text in quotes"
            self._fault(msg, "tag", _position(event))

    def _count(self, nodes: int, characters: int, position: Position) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > MAX_NODES:
            self.stop(f"with its aliases expanded, the text has more than {MAX_NODES:,} values", "too_large", position)
        if self._characters > MAX_CHARACTERS:
            msg = f"with its aliases expanded, the text has more than {MAX_CHARACTERS:,} characters"
            self.stop(msg, "too_large", position)

    def _too_deep(self, position: Position) -> NoReturn:
        self.stop(f"lists and maps are nested deeper than {MAX_DEPTH}", "too_deep", position)

    def _fault(self, msg: str, type: str, position: Position, *more: str | int) -> None:
        self._faults.append(TextFault((*self._loc(), *more), msg, type, position))
        if len(self._faults) >= MAX_FAULTS:
            raise BadText(self._faults)

    def _loc(self) -> Loc:
        """The path of the value that comes next."""
        loc: list[str | int] = []
        for one in self._open:
            if isinstance(one.node.value, list):
                loc.append(len(one.node.value))
            elif one.key is not None:
                loc.append(one.key[0])
        return tuple(loc)


def _with_whole_characters(text: str) -> str:
    r"""JSON text, with each pair of escapes that stands for one character (`\ud83d\ude00`) as YAML writes it."""
    if text.lstrip()[:1] != "{" or not _SURROGATES.search(text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text

    def whole(found: re.Match[str]) -> str:
        code = 0x10000 + ((int(found["high"], 16) - 0xD800) << 10) + int(found["low"], 16) - 0xDC00
        return f"{found['before']}\\U{code:08X}"

    return _SURROGATES.sub(whole, text)


def _unprintable(text: str, wrong: re.Match[str]) -> TextFault:
    lines = _LINE_END.split(text[: wrong.start()])
    code = ord(wrong[0])
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    right = "remove it" if code == 0xFEFF or 0xD800 <= code < 0xE000 else f'remove it, or write "{escape}" in quotes'
    msg = f"the character U+{code:04X} must not stand in the text: {right}"
    return TextFault((), msg, "character", Position(len(lines), len(lines[-1]) + 1))


def _position(event: object) -> Position:
    mark = event.start_mark  # type: ignore[attr-defined]  # every event has one
    return Position(mark.line + 1, mark.column + 1)


def _at_start(msg: str, type: str) -> TextFault:
    return TextFault((), msg, type, Position(1, 1))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
