"""The steps of a job, as they are found when the job is loaded."""

import pytest

from orchestrator.domain.definition import StepRules
from orchestrator.domain.flow import Upstream
from orchestrator.domain.state import TaskState
from orchestrator.domain.steps import Steps
from schemas.states import TaskStatus

LONG = 3000
"""More than the interpreter's limit of nested calls."""


def a_chain(count: int, *, first: TaskStatus) -> list[TaskState]:
    """A chain: the first step has this status, the others succeeded, and the last is to be decided."""
    names = [f"s{n}" for n in range(count)]
    rules = [StepRules(name, depends_on=tuple(names[max(0, n - 1) : n])) for n, name in enumerate(names)]
    statuses = [first, *[TaskStatus.SUCCEEDED] * (count - 2), TaskStatus.PENDING]
    return [TaskState(one.name, one, status=status) for one, status in zip(rules, statuses, strict=True)]


def test_a_long_chain_is_loaded() -> None:
    tasks = a_chain(LONG, first=TaskStatus.SUCCEEDED)

    last = Steps(tasks).of(tasks[-1])

    assert (last.ready, last.upstream) == (True, Upstream.GOOD)


def test_a_failure_is_seen_through_a_long_chain_of_skipped_steps() -> None:
    tasks = a_chain(LONG, first=TaskStatus.FAILED)
    for task in tasks[1:-1]:
        task.status = TaskStatus.SKIPPED

    assert Steps(tasks).of(tasks[-1]).upstream is Upstream.FAILED


def test_a_step_with_open_tasks_shows_nothing_yet() -> None:
    tasks = a_chain(2, first=TaskStatus.RUNNING)

    with pytest.raises(ValueError, match="s0 is not settled"):
        _ = Steps(tasks).of(tasks[1]).upstream
