"""What a job would consist of, without creating it. Pure."""

from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.wanted import Wanted
from schemas.rest.pipelines import PipelinePlan, PlannedTask


def plan_of(wanted: Wanted) -> PipelinePlan:
    """The tasks that a wanted job would have, in its order."""
    return PipelinePlan(tasks=[_planned(definition) for definition in wanted.definitions])


def _planned(definition: TaskDefinition) -> PlannedTask:
    rules, run = definition.rules, definition.run
    fields = {
        "name": rules.name,
        "index": rules.index,
        "matrix": rules.matrix,
        "depends_on": list(rules.depends_on),
        "when": rules.when,
        "if": rules.condition,
        "allow_failure": rules.allow_failure,
        "type": "approval" if run is None else run.type,
        "command": None if run is None else run.command,
        "env": {} if run is None else run.env,
        "working_dir": None if run is None else run.working_dir,
        "decided_at_run_time": _undecided(definition),
    }
    return PlannedTask.model_validate(fields)


def _undecided(definition: TaskDefinition) -> list[str]:
    """The fields whose effect is known only when what the task depends on is over."""
    rules = definition.rules
    return [
        *(["when"] if rules.when != "on_success" else []),
        *(["if"] if rules.condition is not None else []),
    ]
