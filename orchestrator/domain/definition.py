"""The definitions of a job's tasks, frozen when the job is created.

A definition comes from a pipeline's steps, from one inline command, or from an earlier job. The code that runs it does
not know the pipeline. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Final, assert_never

from orchestrator.domain.environment import merged, own
from orchestrator.domain.expressions import has_expressions
from orchestrator.domain.matrix import combinations
from schemas.matrix import MatrixSpec, title
from schemas.model import acts
from schemas.params import Scalar
from schemas.specs import CommandSpec, Resources, RetrySpec, RunSpec, StepBase, StepSpec, When
from schemas.steps import Approval, ApprovalStep, Step

DEFAULT_TASK_NAME: Final = "main"
_NAME_LENGTH: Final = 60

TaskKey = tuple[str, int | None]
"""The name of a task's step, and the task's index in its matrix."""


@dataclass(frozen=True, slots=True)
class StepRules:
    """A step without its command: its place in the graph, and the rules by which the platform runs it."""

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
    when: When = "on_success"
    condition: str | None = None
    matrix: Mapping[str, Scalar] | None = None
    """The values of one task of a step with a matrix."""
    index: int | None = None
    """The place of such a task among the tasks of its step, from 0."""
    max_parallel: int | None = None
    fail_fast: bool = True
    expressions: bool = False
    """Whether its command, environment or folder has expressions, which get their values when the task is queued."""
    approval: Approval | None = None

    @property
    def cleans_up(self) -> bool:
        """Whether its tasks go on while their job is being stopped."""
        return self.when == "always"


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """One task: the rules of its step, and `run`, whose environment overrides the job's."""

    rules: StepRules
    run: RunSpec | None
    """None for an approval, which runs nothing."""

    @property
    def command(self) -> RunSpec:
        """What it runs. Raises ValueError for an approval."""
        if self.run is None:
            raise ValueError(f"step {self.rules.name} is an approval and runs nothing")
        return self.run

    @property
    def key(self) -> TaskKey:
        """Identifies the task in its job, and in reruns of the job."""
        return self.rules.name, self.rules.index

    @property
    def title(self) -> str:
        """The name under which the task is shown."""
        return title(self.rules.name, self.rules.matrix)


def of_steps(steps: Sequence[Step], *, over: Mapping[str, str]) -> list[TaskDefinition]:
    """The tasks of a pipeline's steps, in the order written; a step with a matrix has several, in its order. `over` is
    the environment that the job sets in all of them."""
    return [task for step in steps for task in _of_step(step, over)]


def _of_step(step: Step, over: Mapping[str, str]) -> Iterator[TaskDefinition]:
    rules = _rules(step, name=step.name, depends_on=tuple(step.depends_on))
    match step:
        case ApprovalStep():
            yield TaskDefinition(replace(rules, approval=step.approval()), None)
        case StepSpec():
            rules = replace(rules, expressions=has_expressions(step))
            run = step.run_spec(env=own(step.env, over))
            for one in [rules] if step.matrix is None else _of_matrix(rules, step.matrix):
                yield TaskDefinition(one, run)
        case _:
            assert_never(step)


def _of_matrix(rules: StepRules, matrix: MatrixSpec) -> Iterator[StepRules]:
    rules = replace(rules, max_parallel=matrix.max_parallel, fail_fast=matrix.fail_fast)
    for index, values in enumerate(combinations(matrix)):
        yield replace(rules, matrix=values, index=index)


def of_command(command: CommandSpec, *, name: str | None, env: Mapping[str, str] | None = None) -> TaskDefinition:
    """The only task of a single-command job; `name` is the job's name, if it has one."""
    return TaskDefinition(_rules(command, name=slug(name)), command.run_spec(env=merged(command.env, env or {})))


def again(tasks: Sequence[TaskDefinition], *, over: Mapping[str, str]) -> list[TaskDefinition]:
    """The tasks of an earlier job, for a new job that sets the environment `over` in all of them."""
    if not over:
        return list(tasks)
    return [
        task if task.run is None else replace(task, run=task.run.model_copy(update={"env": own(task.run.env, over)}))
        for task in tasks
    ]


def job_name(command: CommandSpec) -> str:
    """The name of a job that was given none: the start of its command, without characters that a name may not
    contain."""
    text = command.command if isinstance(command.command, str) else " ".join(command.command)
    shown = "".join(" " if acts(character) else character for character in text[: 4 * _NAME_LENGTH])
    return " ".join(shown.split())[:_NAME_LENGTH].strip() or DEFAULT_TASK_NAME


def slug(name: str | None) -> str:
    """A job's name as the name of its only task, or `main` if no allowed character is left."""
    if name is None:
        return DEFAULT_TASK_NAME
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "-" for letter in name)
    return kept.strip("-_.")[:100] or DEFAULT_TASK_NAME


def _rules(spec: CommandSpec | StepBase, *, name: str, depends_on: tuple[str, ...] = ()) -> StepRules:
    """The rules of a step or a command, from its fields of the same names."""
    return StepRules(name, depends_on, **{one: getattr(spec, one) for one in _stated(type(spec))})


@cache
def _stated(kind: type[CommandSpec | StepBase]) -> tuple[str, ...]:
    own = ("name", "depends_on", "matrix")
    return tuple(one.name for one in fields(StepRules) if one.name in kind.model_fields and one.name not in own)
