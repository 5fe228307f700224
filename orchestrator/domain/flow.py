"""Whether a step runs when the steps that it depends on are over: the rules, as tables.

docs/pipelines.md shows the tables; `make docs` generates them from here. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from orchestrator.domain.state import TaskState
from schemas.specs import When
from schemas.states import Reason, TaskStatus


class Ending(StrEnum):
    """How a task ended, as far as its dependants distinguish it."""

    SUCCEEDED = "succeeded"
    ALLOWED_FAILURE = "failed, with `allow_failure`"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONDITION = "skipped by its `if`"
    SKIPPED = "skipped for another reason"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the dependants of a task see of its end."""

    good: bool
    """Whether steps with `on_success` may run."""
    failed: bool | None
    """Whether steps with `on_failure` see a failure; None: if one of the steps that the task depends on shows one."""


SEEN: Final[Mapping[Ending, Seen]] = {
    Ending.SUCCEEDED: Seen(good=True, failed=False),
    Ending.ALLOWED_FAILURE: Seen(good=True, failed=False),
    Ending.FAILED: Seen(good=False, failed=True),
    Ending.CANCELLED: Seen(good=False, failed=False),
    Ending.CONDITION: Seen(good=True, failed=None),
    Ending.SKIPPED: Seen(good=False, failed=None),
}


@dataclass(frozen=True, slots=True)
class View:
    """What a step's dependants see of it once all its tasks are over."""

    good: bool
    failed: bool
    cancelled: bool


class Upstream(StrEnum):
    """What a step sees of all the steps that it depends on, taken together."""

    GOOD = "all are good"
    GOOD_AFTER_FAILURE = "all are good, and one failed before a step that its `if` skipped"
    FAILED = "not all are good, and a failure is seen"
    CANCELLED = "not all are good, none failed, one was cancelled"
    SKIPPED = "not all are good, none failed or was cancelled"


DECISIONS: Final[Mapping[When, Mapping[Upstream, Reason | None]]] = {
    "on_success": {
        Upstream.GOOD: None,
        Upstream.GOOD_AFTER_FAILURE: None,
        Upstream.FAILED: Reason.DEPENDENCY_FAILED,
        Upstream.CANCELLED: Reason.DEPENDENCY_CANCELLED,
        Upstream.SKIPPED: Reason.DEPENDENCY_SKIPPED,
    },
    "on_failure": {
        Upstream.GOOD: Reason.NOT_NEEDED,
        Upstream.GOOD_AFTER_FAILURE: None,
        Upstream.FAILED: None,
        Upstream.CANCELLED: Reason.NOT_NEEDED,
        Upstream.SKIPPED: Reason.NOT_NEEDED,
    },
    "always": dict.fromkeys(Upstream),
}
"""None: the step runs. Otherwise it is skipped for this reason."""


def view(tasks: Iterable[TaskState], *, failed_before: bool) -> View:
    """A step's view from its tasks, all of which are over. `failed_before`: whether one of the steps that it depends on
    shows a failure."""
    good, failed, cancelled = True, False, False
    for task in tasks:
        ending = _ending(task)
        seen = SEEN[ending]
        good = good and seen.good
        failed = failed or (failed_before if seen.failed is None else seen.failed)
        cancelled = cancelled or ending is Ending.CANCELLED
    return View(good, failed, cancelled)


def upstream(views: Iterable[View]) -> Upstream:
    """The views of the steps that a step depends on, taken together."""
    good, failed, cancelled = True, False, False
    for one in views:
        good, failed, cancelled = good and one.good, failed or one.failed, cancelled or one.cancelled
    if good:
        return Upstream.GOOD_AFTER_FAILURE if failed else Upstream.GOOD
    if failed:
        return Upstream.FAILED
    return Upstream.CANCELLED if cancelled else Upstream.SKIPPED


def _ending(task: TaskState) -> Ending:
    """How a task ended. Raises ValueError for a task that has not ended."""
    match task.status:
        case TaskStatus.SUCCEEDED:
            return Ending.SUCCEEDED
        case TaskStatus.FAILED:
            return Ending.ALLOWED_FAILURE if task.rules.allow_failure else Ending.FAILED
        case TaskStatus.CANCELLED:
            return Ending.CANCELLED
        case TaskStatus.SKIPPED:
            return Ending.CONDITION if task.reason is Reason.CONDITION else Ending.SKIPPED
        case TaskStatus.PENDING | TaskStatus.QUEUED | TaskStatus.SCHEDULED | TaskStatus.RUNNING:
            raise ValueError(f"task {task.id} is {task.status.value}, and not over")
        case _:
            assert_never(task.status)
