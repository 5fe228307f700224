"""The graph of a pipeline's steps: checks it, and finds an order in which the steps can run.

Pure: errors are returned as `Fault`s, each with the path of its field; the API makes a response of them.
"""

from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Step(Protocol):
    """The fields of a step that matter for the graph."""

    @property
    def name(self) -> str: ...
    @property
    def depends_on(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in one field; `loc` is the field's path within the pipeline."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidGraph(ValueError):
    """The steps do not form a graph that can run; `faults` names every step concerned."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.msg for fault in faults))
        self.faults = tuple(faults)


def graph_faults(steps: Sequence[Step]) -> list[Fault]:
    """The faults of a graph: repeated or unknown names, and cycles."""
    faults = [*_repeated(steps), *_unknown(steps)]
    if not faults and (knot := cycle(steps)):
        names = " → ".join([*knot, knot[0]])
        position = next(index for index, step in enumerate(steps) if step.name == knot[0])
        faults.append(
            Fault(("steps", position, "depends_on"), f"the steps depend on each other in a cycle: {names}", "cycle")
        )
    return faults


class Ancestors(Container[str]):
    """The steps that one step depends on, directly or through others."""

    __slots__ = ("_bits", "_places")

    def __init__(self, places: Mapping[str, int], bits: int) -> None:
        self._places, self._bits = places, bits

    def __contains__(self, name: object) -> bool:
        place = self._places.get(name) if isinstance(name, str) else None
        return place is not None and bool(self._bits >> place & 1)


def ancestors(steps: Sequence[Step]) -> dict[str, Container[str]]:
    """The ancestors of each step, by its name. The graph must have no faults.

    A set of steps is a number with one bit for each, so that a pipeline of 1,000 steps takes milliseconds.
    """
    places = {step.name: place for place, step in enumerate(steps)}
    needs = {step.name: step.depends_on for step in steps}
    bits: dict[str, int] = {}
    for name in topological(steps):
        found = 0
        for one in needs[name]:
            found |= bits[one] | 1 << places[one]
        bits[name] = found
    return {name: Ancestors(places, found) for name, found in bits.items()}


def topological(steps: Sequence[Step]) -> list[str]:
    """The names in an order in which every step follows its dependencies, otherwise in the order written.

    Steps on a cycle, and those that depend on them, are missing from the result.
    """
    waits = {step.name: len(step.depends_on) for step in steps}
    after = dependants({step.name: step.depends_on for step in steps})
    ready = deque(step.name for step in steps if not step.depends_on)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for following in after.get(name, ()):
            waits[following] -= 1
            if not waits[following]:
                ready.append(following)
    return order


def cycle(steps: Sequence[Step]) -> list[str]:
    """The names on one cycle, each depending on the next; empty when there is none. All names must be known."""
    left = {step.name: step.depends_on for step in steps}
    for name in topological(steps):
        del left[name]
    if not left:
        return []
    # Every step that is left depends on one that is left, so following dependencies must return to a step seen before.
    path: list[str] = []
    seen: dict[str, int] = {}
    name = next(iter(left))
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(one for one in left[name] if one in left)
    return path[seen[name] :]


def dependants(depends_on: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The reversed edges: the steps that depend on each step."""
    after: dict[str, list[str]] = {}
    for name, needed in depends_on.items():
        for one in needed:
            after.setdefault(one, []).append(name)
    return after


def _repeated(steps: Sequence[Step]) -> list[Fault]:
    first: dict[str, int] = {}
    faults: list[Fault] = []
    for index, step in enumerate(steps):
        if first.setdefault(step.name, index) != index:
            message = f"step name {step.name!r} is used twice (steps {first[step.name]} and {index})"
            faults.append(Fault(("steps", index, "name"), message, "repeated_step"))
    return faults


def _unknown(steps: Sequence[Step]) -> list[Fault]:
    known = {step.name for step in steps}
    return [
        Fault(
            ("steps", index, "depends_on", position),
            f"step {step.name!r} depends on {name!r}, and no step has that name",
            "unknown_step",
        )
        for index, step in enumerate(steps)
        for position, name in enumerate(step.depends_on)
        if name not in known
    ]
