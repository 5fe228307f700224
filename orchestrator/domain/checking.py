"""Checks a pipeline before it is stored or run: its graph, and the matrices, expressions and conditions of its steps.
Pure.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from orchestrator.domain import conditions, expressions
from orchestrator.domain.concurrency import key_faults
from orchestrator.domain.graph import Fault, InvalidGraph, ancestors, graph_faults
from orchestrator.domain.matrix import matrix_faults
from orchestrator.domain.scope import Scope
from schemas.params import ParamSpec
from schemas.specs import StepSpec
from schemas.steps import ApprovalStep, Step

MAX_FAULTS: Final = 50
"""The most faults of expressions and conditions that are reported at once."""

MAX_CONDITIONS: Final = 100_000
"""The most characters of all conditions of a pipeline. Compiling them takes half a second at most."""


def check(steps: Sequence[Step], params: Mapping[str, ParamSpec] | None = None, key: str | None = None) -> None:
    """Raise InvalidGraph with all faults of a pipeline's steps and of its concurrency key. `params` are the parameters
    that it declares; without any, its steps may refer to all names."""
    faults = graph_faults(steps)
    faults += key_faults(key, ("concurrency_key",), _scope(params or {})) if key is not None else []
    # Where names are repeated or unknown, or on a cycle, it is not known what a step depends on.
    faults += islice(_reference_faults(steps, params or {}, known=not faults), MAX_FAULTS)
    faults += islice(matrix_faults(steps), MAX_FAULTS)
    if faults:
        raise InvalidGraph(faults)


def _reference_faults(steps: Sequence[Step], params: Mapping[str, ParamSpec], *, known: bool) -> Iterator[Fault]:
    names = {step.name for step in steps}
    optional = _optional(params)
    inputs = {
        step.name: {name: spec.default is not None or spec.required for name, spec in step.inputs.items()}
        for step in steps
        if isinstance(step, ApprovalStep)
    }
    before: dict[str, Container[str]] | None = None
    characters = 0
    for index, step in enumerate(steps):
        runs = step if isinstance(step, StepSpec) and expressions.has_expressions(step) else None
        if step.condition is None and runs is None:
            continue
        if known and before is None:
            before = ancestors(steps)
        axes = step.matrix.keys if isinstance(step, StepSpec) and step.matrix is not None else ()
        ancestors_of = names if before is None else before[step.name]
        scope = Scope(step.name, names, ancestors_of, params or None, optional, axes, inputs)
        characters += len(step.condition or "")
        if characters > MAX_CONDITIONS:
            what = f"the conditions up to here have {characters:,} characters; a pipeline takes {MAX_CONDITIONS:,}"
            yield Fault(("steps", index, "if"), what, "too_long")
            return
        if step.condition is not None:
            yield from conditions.faults(step.condition, ("steps", index, "if"), scope)
        if runs is not None:
            yield from expressions.faults(runs, ("steps", index), scope)


def _scope(params: Mapping[str, ParamSpec]) -> Scope:
    """What a concurrency key may refer to."""
    return Scope("", (), (), params or None, _optional(params))


def _optional(params: Mapping[str, ParamSpec]) -> set[str]:
    return {name for name, spec in params.items() if spec.default is None and not spec.required}
