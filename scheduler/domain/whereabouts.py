"""Describes a task that does not wait for a worker: it waits for another step, runs, was skipped, or is over.

The facts come from the orchestrator's answer. Why a task waits for a worker is in `scheduler.domain.explain`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, assert_never

from schemas.matrix import title
from schemas.model import rfc3339
from schemas.questions import StepState, TaskAnswer
from schemas.states import TASK, JobStatus, Reason, TaskStatus

MOST_STEPS: Final = 10
"""Most steps that one sentence names."""


def in_words(task: TaskAnswer, now: datetime) -> str:
    """One sentence about the task."""
    match task.status:
        case TaskStatus.PENDING if task.waiting_for is not None:
            return f"its job {task.waiting_for}"
        case TaskStatus.PENDING:
            return _pending(task)
        case TaskStatus.QUEUED:
            return _queued(task, now)
        case TaskStatus.SCHEDULED:
            return f"is placed on {_place(task)} and about to start"
        case TaskStatus.RUNNING:
            since = f" since {rfc3339(task.started_at)}" if task.started_at else ""
            if task.asks is not None:
                return f"waits for an approval{since}" + (f": {task.asks}" if task.asks else "")
            return f"runs on {_place(task)}{since}"
        case TaskStatus.SUCCEEDED if task.asks is not None:
            return "does not wait: it was approved"
        case TaskStatus.SUCCEEDED:
            return f"does not wait: it succeeded in attempt {task.attempt}"
        case TaskStatus.FAILED if task.reason is Reason.REJECTED:
            return f"does not wait: it was {task.detail or task.reason.value}"
        case TaskStatus.FAILED:
            return f"does not wait: it failed in attempt {task.attempt}{_because(task)}"
        case TaskStatus.CANCELLED:
            return f"does not wait: it was cancelled{_because(task)}"
        case TaskStatus.SKIPPED:
            return _skipped(task)
    assert_never(task.status)


def worker_in_words(id: str | None, name: str | None) -> str:
    """A worker by its name, if that is known, and its id."""
    if id is None:
        return "a worker"
    return f"worker {name} ({id})" if name else f"worker {id}"


def _pending(task: TaskAnswer) -> str:
    missing = [step for step in task.depends_on if not TASK.is_final(step.status)]
    if len(missing) == 1:
        [step] = missing
        asked = step.asks and step.status is TaskStatus.RUNNING
        return f"waits for step {_title(step)}, which {'waits for an approval' if asked else f'is {step.status.value}'}"
    if missing:
        return f"waits for steps {_named(missing)}"
    if task.job_status is JobStatus.PENDING:
        return "waits for its job to begin"
    if task.matrix is not None:
        return "waits until fewer tasks of its matrix run (`max_parallel`)"
    return "waits for no other step: it is about to be queued"


def _queued(task: TaskAnswer, now: datetime) -> str:
    if task.run_at is not None and task.run_at > now:
        return f"is not due before {rfc3339(task.run_at)} (attempt {task.attempt})"
    return f"is queued as attempt {task.attempt}, and on its way to the scheduler"


def _skipped(task: TaskAnswer) -> str:
    if task.reason is Reason.CONDITION:
        what = f": {task.condition}" if task.condition else ""
        return f"does not wait: it was skipped, because its `if` was false{what}"
    if task.reason is Reason.NOT_NEEDED:
        return "does not wait: it was skipped, because no step that it depends on failed"
    causes = [step for step in task.depends_on if not step.satisfied and TASK.is_final(step.status)]
    if len(causes) == 1:
        return f"does not wait: it was skipped, because step {_title(causes[0])} {_past(causes[0].status)}"
    if causes:
        return f"does not wait: it was skipped, because of steps {_named(causes)}"
    return f"does not wait: it was skipped{_because(task)}"


def _title(step: StepState) -> str:
    return title(step.name, step.matrix)


def _past(status: TaskStatus) -> str:
    return status.value if status is TaskStatus.FAILED else f"was {status.value}"


def _place(task: TaskAnswer) -> str:
    worker = worker_in_words(task.worker_id, task.worker_name)
    return f"{worker} as execution {task.execution_id}" if task.execution_id else worker


def _because(task: TaskAnswer) -> str:
    if task.reason is None:
        return ""
    code = f" {task.exit_code}" if task.reason is Reason.EXIT_CODE and task.exit_code is not None else ""
    return f" ({task.reason.value}{code})" + (f": {task.detail}" if task.detail else "")


def _named(steps: Sequence[StepState]) -> str:
    named = ", ".join(f"{_title(step)} ({step.status.value})" for step in steps[:MOST_STEPS])
    return named if len(steps) <= MOST_STEPS else f"{named} and {len(steps) - MOST_STEPS} more"
