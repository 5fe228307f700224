"""What a job would consist of, without creating it. Pure."""

from collections.abc import Mapping
from typing import Final

from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.expressions import OPEN, BadExpression, parse, rendered
from orchestrator.domain.graph import Fault
from orchestrator.domain.parameters import InvalidParameters
from orchestrator.domain.scope import Values
from orchestrator.domain.wanted import Wanted
from schemas.params import Scalar
from schemas.rest.pipelines import PipelinePlan, PlannedTask
from schemas.specs import RunSpec

_KNOWN: Final = frozenset({"param", "matrix"})
"""The kinds of expressions that have their value before the job runs."""


def plan_of(wanted: Wanted) -> PipelinePlan:
    """The tasks that a wanted job would have, in its order. Raises InvalidParameters if a step cannot be started with
    the parameters."""
    return PipelinePlan(
        tasks=[_planned(definition, wanted.params) for definition in wanted.definitions],
        concurrency_key=wanted.concurrency_key,
        concurrency=wanted.concurrency,
    )


def _planned(definition: TaskDefinition, params: Mapping[str, Scalar]) -> PlannedTask:
    rules, run = definition.rules, definition.run
    later = [] if run is None else _later(run)
    try:
        if run is not None:
            run = _with_known_values(run, later, Values("", params=params, matrix=rules.matrix or {}))
    except BadExpression as error:
        fault = Fault(("params",), f"step {rules.name!r} cannot be started with these: {error}", "bad_expression")
        raise InvalidParameters([fault]) from None
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
        "decided_at_run_time": [
            *(["when"] if rules.when != "on_success" else []),
            *(["if"] if rules.condition is not None else []),
            *later,
        ],
    }
    return PlannedTask.model_validate(fields)


def _later(run: RunSpec) -> list[str]:
    """The fields with an expression that has its value only when the task runs."""
    texts = {f"env.{name}": [text] for name, text in run.env.items()}
    texts["working_dir"] = [run.working_dir or ""]
    texts["command"] = run.command if isinstance(run.command, list) and run.type != "python" else []
    return [field for field, each in texts.items() if any(not _is_known(text) for text in each)]


def _is_known(text: str) -> bool:
    return OPEN not in text or all(one.kind in _KNOWN for one in parse(text).references)


def _with_known_values(run: RunSpec, later: list[str], values: Values) -> RunSpec:
    """The command with the values of the expressions in all fields but `later`, which stay as they were written."""
    env = {name: text for name, text in run.env.items() if f"env.{name}" not in later}
    folder = None if "working_dir" in later else run.working_dir
    command = "true" if "command" in later else run.command
    known = rendered(run.model_copy(update={"env": env, "working_dir": folder, "command": command}), values)
    return run.model_copy(
        update={
            "env": {name: known.env.get(name, text) for name, text in run.env.items()},
            "working_dir": run.working_dir if "working_dir" in later else known.working_dir,
            "command": run.command if "command" in later else known.command,
        }
    )
