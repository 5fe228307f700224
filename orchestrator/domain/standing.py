"""Whether a report of an agent counts: only if its execution is the one that is placed on its worker. Pure.

The placement comes from the scheduler (`tasks.scheduled`), which alone decides it. Reports that services publish again
are not checked: they were, when they first came.
"""

from dataclasses import dataclass
from enum import Enum, auto

from orchestrator.domain.run import JobRun, TaskReport
from orchestrator.domain.state import TaskState
from orchestrator.domain.steps import ACTIVE
from schemas.events import ExecutionFinished, ExecutionStarted


class Standing(Enum):
    """How a report of an agent stands to its task."""

    OWN = auto()
    """It is about the execution that is placed on its worker."""
    STALE = auto()
    """It is about an attempt or an execution that does not count any more."""
    EARLY = auto()
    """It is about an execution whose placement is not known yet."""
    FOREIGN = auto()
    """It is about an execution that is placed on another worker."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A report, and whether the agent of a worker published it: not the scheduler, nor a service that repeats it."""

    report: TaskReport
    by_agent: bool = False


def standing(run: JobRun, report: ExecutionStarted | ExecutionFinished) -> Standing:
    """How the report of an agent stands to the task in its job."""
    task = run.tasks.get(report.task_id)
    if task is None or report.attempt < task.attempt or task.status not in ACTIVE:
        return Standing.STALE
    if report.attempt > task.attempt:
        return Standing.EARLY
    return _of_attempt(task, report)


def _of_attempt(task: TaskState, report: ExecutionStarted | ExecutionFinished) -> Standing:
    if task.worker_id is None or task.execution_id is None:
        return Standing.EARLY
    if report.execution_id == task.execution_id:
        return Standing.OWN if report.worker_id == task.worker_id else Standing.FOREIGN
    # Perhaps of a placement that is still to come: its id may be lower, when another process made it by another clock.
    return Standing.EARLY
