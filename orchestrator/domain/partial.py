"""A pipeline with errors in some of its fields, as far as it can be read, so that its graph is checked all the same.

A person who corrects a file wants every error at once, not the errors of the graph after those of the fields. Pure.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import to_json

from orchestrator.domain.graph import Fault
from schemas.rest.pipelines import PipelineCreate
from schemas.steps import STEP, Step

Loc = tuple[str | int, ...]

_OF_NAMES: Final = frozenset({"repeated_step", "unknown_step", "cycle"})
"""Faults that need only the steps' names and dependencies."""
_APPROVAL: Final = "approval"
_STAND_IN: Final = "true"
"""The command of a step whose own command cannot be read."""


@dataclass(frozen=True, slots=True)
class Readable:
    """The part of a pipeline that can be read."""

    pipeline: PipelineCreate
    positions: Sequence[int]
    """For each of its steps, the step's index in the pipeline as given."""
    incomplete: Collection[int]
    """The indexes, as given, of steps that lack a field or more."""
    whole_graph: bool
    """Whether all names and dependencies can be read, so that it is known what a step depends on."""

    def faults(self, found: Sequence[Fault]) -> list[Fault]:
        """Those faults of the graph that do not merely follow from what could not be read, under the paths of the
        pipeline as given."""
        return [given for fault in found if (given := self._as_given(fault)) is not None]

    def _as_given(self, fault: Fault) -> Fault | None:
        match fault.loc:
            case ("steps", int(position), *rest):
                index = self.positions[position]
                if (index in self.incomplete or not self.whole_graph) and fault.type not in _OF_NAMES:
                    return None
                return Fault(("steps", index, *rest), fault.msg, fault.type)
        return fault


def readable(fields: object, errors: Collection[Loc]) -> Readable:
    """What can be read of a pipeline. `errors` are the paths of the fields that are wrong."""
    given = fields if isinstance(fields, Mapping) else {}
    wrong = {loc[0] for loc in errors if len(loc) == 1} | {loc[0] for loc in errors if loc and loc[0] != "steps"}
    steps = given.get("steps")
    read: dict[int, Step] = {}
    incomplete: set[int] = set()
    steps = steps if isinstance(steps, list) else []
    by_step: dict[str | int, list[Loc]] = {}
    for loc in errors:
        if len(loc) > 1 and loc[0] == "steps":
            by_step.setdefault(loc[1], []).append(loc[2:])
    for index, step in enumerate(steps):
        of_step = by_step.get(index, [])
        found = _step(step, of_step)
        if found is not None:
            read[index] = found
        if of_step:
            incomplete.add(index)
    kept = {name: value for name, value in given.items() if name not in wrong and name != "steps"}
    pipeline = _of_fields(kept).model_copy(update={"steps": list(read.values())})
    whole = all(loc[2:3] not in (("name",), ("depends_on",)) for loc in errors) and len(read) == len(steps)
    return Readable(pipeline, list(read), incomplete, whole)


def _of_fields(fields: Mapping[str, object]) -> PipelineCreate:
    try:
        return PipelineCreate.model_validate_json(to_json({"name": "pipeline", **fields}), strict=True)
    except ValidationError:
        return PipelineCreate(name="pipeline")


def _step(step: object, errors: Collection[Loc]) -> Step | None:
    """A step without its wrong fields, or with only its name and dependencies; None if those are wrong, too."""
    if not isinstance(step, Mapping):
        return None
    wrong = {loc[0] for loc in errors if loc}
    sound = {name: value for name, value in step.items() if name not in wrong}
    depends_on = sound.get("depends_on")
    least: dict[str, object] = {name: sound[name] for name in ("name",) if name in sound}
    if isinstance(depends_on, list) and all(isinstance(one, str) for one in depends_on):
        least["depends_on"] = list(dict.fromkeys(depends_on))
    for attempt in (sound, least):
        try:
            runs = {} if attempt.get("type") == _APPROVAL else {"command": _STAND_IN}
            return STEP.validate_json(to_json({**runs, **attempt}), strict=True)
        except ValidationError:
            continue
    return None
