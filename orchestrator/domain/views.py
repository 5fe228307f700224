"""The steps of a job as expressions and conditions see them: how they ended, and their outputs. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from orchestrator.domain.definition import StepRules
from orchestrator.domain.scope import StepView, Values
from orchestrator.domain.state import JobState
from orchestrator.domain.steps import Steps
from schemas.states import TaskStatus


@dataclass(frozen=True, slots=True)
class Ended:
    """The part of a task that others see."""

    status: TaskStatus
    outputs: Mapping[str, str]
    of_matrix: bool
    """Whether its step has a matrix."""


class Views:
    """The steps of one job by name. A step is looked at once, so the tasks must not change meanwhile."""

    def __init__(self, tasks_of: Callable[[str], Sequence[Ended]]) -> None:
        """`tasks_of` returns the tasks of a step in the order of their index; none, if the job has no such step."""
        self._tasks_of = tasks_of
        self._seen: dict[str, StepView | None] = {}

    def __call__(self, name: str) -> StepView | None:
        """The step of this name, or None."""
        if name not in self._seen:
            tasks = self._tasks_of(name)
            self._seen[name] = view_of(tasks) if tasks else None
        return self._seen[name]


def views_of(steps: Steps) -> Views:
    """The steps of a running job."""

    def tasks_of(name: str) -> list[Ended]:
        return [Ended(task.status, task.outputs or {}, task.rules.index is not None) for task in steps.tasks_of(name)]

    return Views(tasks_of)


def values_of(job: JobState, rules: StepRules, attempt: int, views: Views) -> Values:
    """The values that the expressions and the condition of one task have. All that it depends on must be over."""
    return Values(job.id, job.name, job.priority, attempt, job.params, rules.matrix or {}, views)


def view_of(tasks: Sequence[Ended]) -> StepView:
    """A step from its tasks, of which there is at least one. With a matrix, an output is the JSON array of its values,
    in which a task without it has an empty text."""
    status = status_of([task.status for task in tasks])
    if not tasks[0].of_matrix:
        return StepView(status, tasks[0].outputs)
    names = dict.fromkeys(name for task in tasks for name in task.outputs)
    return StepView(status, {name: _array([task.outputs.get(name, "") for task in tasks]) for name in names})


def status_of(statuses: Sequence[TaskStatus]) -> str:
    """The status of a step: of its only task, or for a matrix the first of failed, cancelled and succeeded that one of
    its tasks has, and else skipped."""
    for status in (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SUCCEEDED):
        if status in statuses:
            return status.value
    return statuses[0].value


def _array(values: Sequence[str]) -> str:
    return f"[{', '.join([to_json(value).decode() for value in values])}]"  # a tenth of the time of `json.dumps`
