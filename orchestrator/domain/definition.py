"""What a job is made of: the definitions of its tasks, frozen when the job is made.

A definition comes from a pipeline's steps, from one inline command, or from an earlier job. What runs it does not know
the pipeline. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Final

from orchestrator.domain.environment import merged, own
from schemas.model import acts
from schemas.specs import CommandSpec, Resources, RetrySpec, RunSpec, StepSpec

DEFAULT_TASK_NAME: Final = "main"
_NAME_LENGTH: Final = 60


@dataclass(frozen=True, slots=True)
class StepRules:
    """A step without its command: its place in the graph, and what the platform does with it."""

    name: str
    depends_on: tuple[str, ...] = ()
    allow_failure: bool = False
    retry: RetrySpec | None = None
    retry_on_lost: bool = True
    max_crashes: int = 3
    requires: Mapping[str, str] = field(default_factory=dict)
    resources: Resources | None = None
    queue_timeout: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """One task: the rules of its step, and `run`, whose environment is laid over its job's."""

    rules: StepRules
    run: RunSpec


def of_steps(steps: Sequence[StepSpec], *, over: Mapping[str, str]) -> list[TaskDefinition]:
    """The tasks of a pipeline's steps, in the order written. `over` is what the job sets in all of them."""
    return [
        TaskDefinition(
            _rules(step, name=step.name, depends_on=tuple(step.depends_on)), step.run_spec(env=own(step.env, over))
        )
        for step in steps
    ]


def of_command(command: CommandSpec, *, name: str | None, env: Mapping[str, str] | None = None) -> TaskDefinition:
    """The only task of a single-command job; `name` is the job's, if it was given one."""
    return TaskDefinition(_rules(command, name=slug(name)), command.run_spec(env=merged(command.env, env or {})))


def again(tasks: Sequence[TaskDefinition], *, over: Mapping[str, str]) -> list[TaskDefinition]:
    """The tasks of an earlier job, of which the new job sets `over` in all."""
    if not over:
        return list(tasks)
    return [replace(task, run=task.run.model_copy(update={"env": own(task.run.env, over)})) for task in tasks]


def job_name(command: CommandSpec) -> str:
    """The name of a job that was not given one: the beginning of its command, without what no name may hold."""
    text = command.command if isinstance(command.command, str) else " ".join(command.command)
    shown = "".join(" " if acts(character) else character for character in text[: 4 * _NAME_LENGTH])
    return " ".join(shown.split())[:_NAME_LENGTH].strip() or DEFAULT_TASK_NAME


def slug(name: str | None) -> str:
    """A job's name as the name of its only task: what no step may be called becomes `main`."""
    if name is None:
        return DEFAULT_TASK_NAME
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "-" for letter in name)
    return kept.strip("-_.")[:100] or DEFAULT_TASK_NAME


def _rules(spec: CommandSpec, *, name: str, depends_on: tuple[str, ...] = ()) -> StepRules:
    """The rules that a step or a command states: the fields of the same name."""
    return StepRules(name, depends_on, **{one: getattr(spec, one) for one in _stated(type(spec))})


@cache
def _stated(kind: type[CommandSpec]) -> tuple[str, ...]:
    own = ("name", "depends_on")
    return tuple(one.name for one in fields(StepRules) if one.name in kind.model_fields and one.name not in own)
