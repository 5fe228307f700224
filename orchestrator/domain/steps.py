"""The steps of one running job: which of them are over, and which are ready to be decided. Pure.

A step has one task, or several with a matrix. It is settled when all its tasks are over and all that it depends on is
settled; it is ready when all that it depends on is settled. So nothing starts before everything that it depends on,
directly or through others, is over, also where a cancel ended a step in between. Counters make the end of a task cost
the same in a job of ten steps and in one of a thousand.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from orchestrator.domain.definition import StepRules
from orchestrator.domain.flow import Upstream, View, upstream, view
from orchestrator.domain.state import TaskState
from schemas.states import TASK, TaskStatus

ACTIVE: Final = frozenset({TaskStatus.QUEUED, TaskStatus.SCHEDULED, TaskStatus.RUNNING})


@dataclass(slots=True, eq=False)
class Step:
    """A step with its tasks, in the order of their index."""

    rules: StepRules
    """Those of its first task; only the values of the matrix differ between its tasks."""
    tasks: list[TaskState] = field(default_factory=list)
    needs: list["Step"] = field(default_factory=list)
    dependants: list["Step"] = field(default_factory=list)
    waits_for: int = 0
    """How many of the steps that it depends on are not settled."""
    open: int = 0
    """How many of its tasks are not over."""
    active: int = 0
    """How many of its tasks are queued, placed or running."""
    failed_fast: bool = False
    """Whether a task failed, so that its other tasks must not go on."""
    _next: int = 0
    _view: View | None = None

    @property
    def name(self) -> str:
        """Its name, unique in its job."""
        return self.rules.name

    @property
    def ready(self) -> bool:
        """Whether all that it depends on is settled."""
        return self.waits_for == 0

    @property
    def upstream(self) -> Upstream:
        """What it sees of the steps that it depends on, all of which are settled."""
        return upstream(need.view for need in self.needs)

    @property
    def view(self) -> View:
        """What its dependants see of it. Raises ValueError before it is settled."""
        if self._view is None:
            raise ValueError(f"step {self.name} is not settled")
        return self._view

    @property
    def pending(self) -> list[TaskState]:
        """Its tasks that were not queued yet."""
        return [task for task in self.tasks if task.status is TaskStatus.PENDING]

    def close(self) -> None:
        """Note what its dependants see of it: it is settled now, and all that it depends on was before."""
        self._view = view(self.tasks, failed_before=any(need.view.failed for need in self.needs))

    def startable(self) -> Iterator[TaskState]:
        """Its pending tasks that may run now, as many as `max_parallel` allows. The caller queues each."""
        limit = self.rules.max_parallel or len(self.tasks)
        while self.active < limit and self._next < len(self.tasks):
            task = self.tasks[self._next]
            self._next += 1
            if task.status is TaskStatus.PENDING:
                yield task


class Steps:
    """The steps of a job by name, in the order of its tasks."""

    def __init__(self, tasks: Iterable[TaskState]) -> None:
        self._steps: dict[str, Step] = {}
        for task in tasks:
            step = self._steps.setdefault(task.name, Step(task.rules))
            step.tasks.append(task)
            step.open += task.status not in TASK.final
            step.active += task.status in ACTIVE
        for step in self._steps.values():
            step.needs = [self._steps[name] for name in step.rules.depends_on]
            for need in step.needs:
                need.dependants.append(step)
            step.waits_for = len(step.needs)
            step.failed_fast = _stops_early(step.rules) and any(_counts(task) for task in step.tasks)
        for step in [step for step in self._steps.values() if step.ready and not step.open]:
            _settle(step)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def tasks_of(self, name: str) -> list[TaskState]:
        """The tasks of the step of this name, in the order of their index; none, if there is no such step."""
        return self._steps[name].tasks if name in self._steps else []

    def of(self, task: TaskState) -> Step:
        """The step of a task."""
        return self._steps[task.name]

    def started(self, task: TaskState) -> None:
        """Note that a pending task is queued or running."""
        self.of(task).active += 1

    def ended(self, task: TaskState, before: TaskStatus) -> list[Step]:
        """Note that a task is over; `before` is its status until then. Returns the steps that became ready."""
        step = self.of(task)
        step.open -= 1
        step.active -= before in ACTIVE
        if _stops_early(step.rules) and _counts(task):
            step.failed_fast = True
        return [] if step.open or not step.ready else _settle(step)


def _settle(step: Step) -> list[Step]:
    """Note that a step is settled. Returns the steps that became ready, and are not over."""
    settled: list[Step] = [step]
    ready: list[Step] = []
    for one in settled:  # grows while it is read
        one.close()
        for following in one.dependants:
            following.waits_for -= 1
            if following.ready:
                (ready if following.open else settled).append(following)
    return ready


def _stops_early(rules: StepRules) -> bool:
    return rules.fail_fast and rules.index is not None


def _counts(task: TaskState) -> bool:
    return task.status is TaskStatus.FAILED and not task.rules.allow_failure
