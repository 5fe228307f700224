"""What the expressions and conditions of a step may refer to (`Scope`), and the values of it in one job (`Values`).

`orchestrator.domain.expressions` and `orchestrator.domain.conditions` share both. Pure.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from heapq import nsmallest
from itertools import takewhile
from operator import eq
from typing import Final

from schemas.params import Scalar

JOB_FIELDS: Final = ("id", "name", "priority")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that the step `step` may use, for checks when its pipeline is made."""

    step: str
    steps: Collection[str]
    """All steps of the pipeline."""
    ancestors: Container[str]
    """The steps that this one depends on, directly or through others."""
    params: Collection[str] | None = None
    """The declared parameters; None if the pipeline declares none, and its jobs may have any."""
    optional: Container[str] = ()
    """The declared parameters that a job may be without."""
    axes: Collection[str] = ()
    """The axes of the step's own matrix."""
    inputs: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """By the name of each approval, the inputs that it declares, which become its outputs: whether each of them always
    has a value."""

    def step_fault(self, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if the step may not refer to the step `name`."""
        if name in self.ancestors and name != self.step:
            return None
        if name == self.step:
            return "not_an_ancestor", f"step {name!r} refers to itself; it has no outcome before it ran"
        if name in self.steps:
            return (
                "not_an_ancestor",
                f"step {self.step!r} does not depend on step {name!r}, so {name!r} may not be over before it; "
                f"add {name!r} to depends_on",
            )
        return "unknown_step", f"no step has the name {name!r}{hint(name, self.steps)}"

    def output_fault(self, step: str, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if a step is an approval without this input."""
        if step not in self.inputs or name in self.inputs[step]:
            return None
        what = hint(name, self.inputs[step]) or "; it declares none"
        return "unknown_output", f"the approval {step!r} declares no input {name!r}{what}"

    def optional_output_fault(self, step: str, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if a step may be approved without this input."""
        if self.inputs.get(step, {}).get(name, True):
            return None
        what = f"the approval {step!r} may be given without the input {name!r}; give it a default, or make it required"
        return "optional_input", what

    def param_fault(self, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if the pipeline declares parameters and not this one."""
        if self.params is None or name in self.params:
            return None
        return "unknown_param", f"the pipeline declares no parameter {name!r}{hint(name, self.params)}"

    def optional_fault(self, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if a job may be without this parameter."""
        if name not in self.optional:
            return None
        return "optional_param", f"a job may be without the parameter {name!r}; give it a default, or make it required"

    def axis_fault(self, name: str) -> tuple[str, str] | None:
        """The type and the message of the fault if the step's matrix has no such axis."""
        if name in self.axes:
            return None
        if not self.axes:
            return "unknown_axis", f"step {self.step!r} has no matrix, so there is no matrix.{shown(name)}"
        return "unknown_axis", f"the matrix of step {self.step!r} has no axis {name!r}{hint(name, self.axes)}"


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as later steps see it: how it ended, and its outputs."""

    status: str
    outputs: Mapping[str, str]
    """The outputs of a step with a matrix are JSON arrays, in the order of the tasks."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values that the expressions and the condition of one task have."""

    job_id: str
    job_name: str = ""
    priority: str = "normal"
    attempt: int = 1
    params: Mapping[str, Scalar] = field(default_factory=dict)
    matrix: Mapping[str, Scalar] = field(default_factory=dict)
    view: Callable[[str], StepView | None] = lambda _name: None
    """Returns a step by its name, or None if the job has no such step."""


def hint(name: str, valid: Iterable[str], *, form: str = "{}") -> str:
    """The nearest valid name as a question, or else the first valid names; empty if there are none."""
    names = list(valid)
    short = name[:_LONGEST]
    near = get_close_matches(short, _similar(short, names), n=1, cutoff=0.5)
    if near:
        return f"; did you mean {form.format(near[0])}?"
    if not names:
        return ""
    more = ", …" if len(names) > _SHOWN else ""
    return f"; valid are {', '.join(form.format(one) for one in names[:_SHOWN])}{more}"


def _similar(name: str, names: list[str]) -> list[str]:
    """The few names that a slow comparison is worth for: those that begin and end alike and are about as long."""
    if len(names) <= _COMPARED:
        return names

    def unlike(other: str) -> int:
        alike = _common(name, other) + _common(name[::-1], other[::-1])
        return abs(len(other) - len(name)) - alike

    return nsmallest(_COMPARED, names, key=unlike)


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with together."""
    return sum(1 for _ in takewhile(bool, map(eq, one, other)))


def shown(text: str, most: int = 60) -> str:
    """The text on one line and shortened, for a message."""
    short = text if len(text) <= most else text[:most] + "…"
    return short if short.isprintable() else repr(short)[1:-1]


_SHOWN: Final = 8
_COMPARED: Final = 5
_LONGEST: Final = 100
