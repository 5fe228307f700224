"""The matrix of a step: checked when its pipeline is made, expanded into tasks when a job is made. Pure."""

import re
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Final

from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import hint
from schemas import words
from schemas.matrix import MAX_KEYS, MAX_TASKS, MatrixSpec, axis_variable
from schemas.params import Scalar, as_text
from schemas.specs import StepSpec
from schemas.steps import Step

MAX_JOB_TASKS: Final = 1000
"""The most tasks of one job."""
MAX_WORK: Final = 500_000
"""The most combinations times entries of `include` and `exclude`, of all steps. They take 0.1 s."""

Values = Mapping[str, Scalar]
_LONGEST_NAME: Final = 100
_NAME: Final = re.compile(words.VARIABLE)


def combinations(matrix: MatrixSpec) -> list[dict[str, Scalar]]:
    """The values of each task, in order: the last axis changes fastest, what `include` adds comes last."""
    axes = matrix.axes
    excluded = [_texts(entry).items() for entry in matrix.exclude]
    result: list[dict[str, Scalar]] = []
    kept: list[ItemsView[str, str]] = []
    for one in product(*axes.values()) if axes else ():
        values = dict(zip(axes, one, strict=True))
        texts = _texts(values).items()
        if not any(entry <= texts for entry in excluded):
            result.append(values)
            kept.append(texts)
    added = []
    for entry in matrix.include:
        same = _texts({name: value for name, value in entry.items() if name in axes}).items()
        fits = [index for index, texts in enumerate(kept) if same <= texts]
        for index in fits:
            result[index].update({name: value for name, value in entry.items() if name not in axes})
        if not fits:
            added.append(dict(entry))
    return [*result, *added]


def matrix_faults(steps: Sequence[Step]) -> Iterator[Fault]:
    """The faults of the matrices of a pipeline, and of the number of its tasks."""
    tasks = work = 0
    for position, step in enumerate(steps):
        tasks += 1
        if not isinstance(step, StepSpec) or step.matrix is None:
            continue
        matrix, at = step.matrix, ("steps", position, "matrix")
        found = list(_faults(matrix, at))
        yield from found
        if found:
            continue
        work += prod(map(len, matrix.axes.values())) * (len(matrix.include) + len(matrix.exclude))
        if work > MAX_WORK:
            what = f"compares more than {MAX_WORK:,} combinations with entries of include and exclude, up to here"
            yield Fault(at, what, "too_large")
            return
        made = combinations(matrix)
        yield from _result_faults(made, at)
        tasks += len(made) - 1
        if tasks > MAX_JOB_TASKS:
            yield Fault(at, f"a job has at most {MAX_JOB_TASKS:,} tasks; up to here it has {tasks:,}", "too_large")
            return


def _faults(matrix: MatrixSpec, at: tuple[str | int, ...]) -> Iterator[Fault]:
    if not matrix.axes and not matrix.include:
        yield Fault(at, "needs an axis, a name with a list of values", "empty_matrix")
    if len(matrix.axes) > MAX_KEYS:
        yield Fault(at, f"has {len(matrix.axes)} axes; a matrix has at most {MAX_KEYS}", "too_large")
        return
    count = prod(map(len, matrix.axes.values()))
    if count > MAX_TASKS:
        yield Fault(at, f"has {count:,} combinations; a matrix has at most {MAX_TASKS}, exclude or not", "too_large")
    variables: dict[str, str] = {}
    places = [(name, (*at, name)) for name in matrix.axes]
    places += [(name, (*at, "include", i, name)) for i, entry in enumerate(matrix.include) for name in entry]
    for name, place in places:
        if not _NAME.match(name) or len(name) > _LONGEST_NAME:
            yield Fault(place, words.PATTERNS[words.VARIABLE], "axis_name")
        elif (other := variables.setdefault(axis_variable(name), name)) != name:
            yield Fault(place, f"{other} and {name} both become {axis_variable(name)}", "repeated_axis")
    for name, values in matrix.axes.items():
        yield from _repeated(values, (*at, name))
    for index, entry in enumerate(matrix.exclude):
        for name, value in entry.items():
            yield from _exclude_faults(matrix, name, value, (*at, "exclude", index, name))


def _repeated(values: Sequence[Scalar], at: tuple[str | int, ...]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if (text := as_text(value)) in seen:
            yield Fault((*at, index), f"the value {text} is used twice", "repeated_value")
        seen.add(text)


def _exclude_faults(matrix: MatrixSpec, name: str, value: Scalar, at: tuple[str | int, ...]) -> Iterator[Fault]:
    if name not in matrix.axes:
        yield Fault(at, f"the matrix has no axis {name!r}{hint(name, matrix.axes)}", "unknown_axis")
        return
    known = [as_text(one) for one in matrix.axes[name]]
    if (text := as_text(value)) not in known:
        yield Fault(at, f"the axis {name} has no value {text!r}{hint(text, known)}", "unknown_value")


def _result_faults(made: Sequence[Values], at: tuple[str | int, ...]) -> Iterator[Fault]:
    if not made:
        yield Fault((*at, "exclude"), "leaves no combination", "empty_matrix")
    if len(made) > MAX_TASKS:
        yield Fault(at, f"has {len(made):,} combinations; a step has at most {MAX_TASKS} tasks", "too_large")
    seen = set()
    for values in made:
        key = tuple((name, as_text(value)) for name, value in sorted(values.items()))
        if key in seen:
            shown = ", ".join(f"{name}: {text}" for name, text in key)
            yield Fault((*at, "include"), f"adds a combination twice: {shown}", "repeated_value")
        seen.add(key)


def _texts(values: Values) -> dict[str, str]:
    """The values as texts, by which they are compared: in YAML, 3.11 is a number."""
    return {name: as_text(value) for name, value in values.items()}
