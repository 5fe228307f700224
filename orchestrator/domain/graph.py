"""The graph of a pipeline's steps: is it one, and in which order may its steps run?

Pure: what is wrong is told as `Fault`s, each with the way to the field; making an answer of them is not done here.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Step(Protocol):
    """What of a step matters here."""

    @property
    def name(self) -> str: ...
    @property
    def depends_on(self) -> Sequence[str]: ...
    @property
    def when(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field; `loc` begins at the pipeline."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidGraph(ValueError):
    """The steps make no graph that could be run; `faults` names every step concerned."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.msg for fault in faults))
        self.faults = tuple(faults)


def check(steps: Sequence[Step]) -> None:
    """Raise InvalidGraph for repeated or unknown names, for cycles, and for what is not yet supported."""
    faults = [*_repeated(steps), *_unknown(steps), *_unsupported(steps)]
    if not faults and (knot := cycle(steps)):
        names = " → ".join([*knot, knot[0]])
        position = next(index for index, step in enumerate(steps) if step.name == knot[0])
        faults.append(Fault(("steps", position, "depends_on"), f"the steps wait for each other: {names}", "cycle"))
    if faults:
        raise InvalidGraph(faults)


def topological(steps: Sequence[Step]) -> list[str]:
    """The names in an order in which every step follows what it depends on; else the order written.

    Steps on a cycle, and what depends on them, are missing from the result.
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
    """The names on one cycle, each depending on the next; empty when there is none. Names must be known."""
    left = {step.name: step.depends_on for step in steps}
    for name in topological(steps):
        del left[name]
    if not left:
        return []
    # Everything left depends on something left, so that walking on must come back to where one has been.
    path: list[str] = []
    seen: dict[str, int] = {}
    name = next(iter(left))
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(one for one in left[name] if one in left)
    return path[seen[name] :]


def dependants(depends_on: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The edges the other way round: which steps wait for a step."""
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
            message = f"step {step.name!r} stands there twice, first at position {first[step.name]}"
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


def _unsupported(steps: Sequence[Step]) -> list[Fault]:
    return [
        Fault(("steps", index, "when"), f"not yet supported: step {step.name!r} has when={step.when}", "not_supported")
        for index, step in enumerate(steps)
        if step.when != "on_success"
    ]
