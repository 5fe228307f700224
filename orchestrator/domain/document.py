"""A pipeline as a person writes it in a file: YAML or JSON, with the conveniences that a file may use.

Here: a text becomes the plain data of a `PipelineCreate`, and each field keeps its line and column. `steps` may be a
map from name to step, `needs` is taken for `depends_on`, and a single name for a list of one. Not here: YAML itself
(`yaml_text`), and the checks of the fields, which are the same for every pipeline. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from orchestrator.domain.yaml_text import BadText, Entry, Loc, Node, Position, TextFault, read
from schemas.params import as_text

__all__ = ["BadText", "Document", "Position", "TextFault", "read_document"]

_DEPENDS_ON: Final = "depends_on"
_NEEDS: Final = "needs"
_NOT_AS_WRITTEN: Final = re.compile(r"[-+]?(?:[0-9]*\.[0-9]+0|0[0-9]+)")
"""Decimal numbers that end or begin with a zero which the number does not have: 3.10 and 08, but not 3.0."""


class Document:
    """The fields of a pipeline, and where each of them stands."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self.fields = root.plain()

    def position(self, loc: Sequence[str | int], *, of_key: bool = False) -> Position:
        """The place of the field with this path, or of the nearest parent that the text has.

        That is the place of a single value, and of the key of a list or a map; with `of_key`, of any key.
        """
        found = self._root.position
        for key, node in self._way(loc):
            single = not isinstance(node.value, list | dict)
            found = node.position if key is None or (single and not of_key) else key
        return found

    def written(self, loc: Sequence[str | int]) -> str | None:
        """The text of a number, `true`, `false` or `null`, as it stands in the file; None for anything else."""
        way = list(self._way(loc))
        if len(way) < len(loc) or not way:
            return None
        node = way[-1][1]
        return None if isinstance(node.value, str) else node.written

    def _way(self, loc: Sequence[str | int]) -> Iterator[tuple[Position | None, Node]]:
        """The nodes on the way to a field, each with the place of its key, as far as there are any."""
        node = self._root
        for part in loc:
            if isinstance(node.value, dict) and part in node.value:
                key, node = node.value[str(part)]
                yield key, node
            elif isinstance(node.value, list) and isinstance(part, int) and 0 <= part < len(node.value):
                node = node.value[part]
                yield None, node
            else:
                return


def read_document(text: str) -> Document:
    """The pipeline that a text defines, its fields unchecked. Raises BadText with every fault of the text itself."""
    root = read(text)
    faults: list[TextFault] = []
    fields = dict(_fields(root))
    if (steps := fields.get("steps")) is not None:
        fields["steps"] = Entry(steps.key, _steps(steps.node, faults))
    if faults:
        raise BadText(faults)
    return Document(Node(root.position, fields))


def _steps(steps: Node, faults: list[TextFault]) -> Node:
    """The steps as a list. Anything but a list or a map is left as it is, for the check of the fields."""
    if isinstance(steps.value, list):
        return Node(steps.position, [_step(node, ("steps", index), faults) for index, node in enumerate(steps.value)])
    if not isinstance(steps.value, dict):
        return steps
    return Node(steps.position, [_named(*one, index, faults) for index, one in enumerate(steps.value.items())])


def _named(name: str, entry: Entry, index: int, faults: list[TextFault]) -> Node:
    """A step of a map: its key is its name."""
    loc = ("steps", index)
    step = _step(entry.node, loc, faults)
    if not isinstance(step.value, dict):
        return step
    if (own := step.value.get("name")) is not None:
        msg = "leave it out: in a map of steps, the key is the step's name"
        faults.append(TextFault((*loc, "name"), msg, "repeated_name", own.key))
    return Node(entry.key, {"name": Entry(entry.key, Node(entry.key, name)), **step.value})


def _step(step: Node, loc: Loc, faults: list[TextFault]) -> Node:
    fields = dict(_fields(step))
    if (matrix := fields.get("matrix")) is not None:
        faults += _other_numbers(matrix.node, (*loc, "matrix"))
    needs, depends_on = fields.pop(_NEEDS, None), fields.get(_DEPENDS_ON)
    if needs is not None and depends_on is not None:
        msg = "needs and depends_on mean the same: give one of them"
        faults.append(TextFault((*loc, _NEEDS), msg, "repeated_key", needs.key))
    if (given := depends_on or needs) is not None:
        single = isinstance(given.node.value, str)
        fields[_DEPENDS_ON] = Entry(given.key, Node(given.node.position, [given.node]) if single else given.node)
    return Node(step.position, fields) if isinstance(step.value, dict) else step


def _other_numbers(node: Node, loc: Loc) -> Iterator[TextFault]:
    """Values of a matrix that would be other numbers than they look like: versions, mostly."""
    if isinstance(node.value, dict):
        for name, entry in node.value.items():
            yield from _other_numbers(entry.node, (*loc, name))
    elif isinstance(node.value, list):
        for index, one in enumerate(node.value):
            yield from _other_numbers(one, (*loc, index))
    elif isinstance(node.value, int | float) and node.written and _NOT_AS_WRITTEN.fullmatch(node.written):
        msg = f'{node.written} is the number {as_text(node.value)}: put it in quotes, "{node.written}"'
        yield TextFault(loc, msg, "number", node.position)


def _fields(node: Node) -> dict[str, Entry]:
    return node.value if isinstance(node.value, dict) else {}
