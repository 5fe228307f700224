"""How the command line says how jobs and steps ended: a reason only where it adds to the status."""

from __future__ import annotations

from typing import Any

import pytest

from hodei.run import outcome_in_words
from hodei.views import failure_in_words, status_text
from schemas.rest.jobs import JobDetail, Task
from schemas.states import JobStatus, Reason, TaskStatus


def task(status: TaskStatus, reason: Reason | None, **changes: Any) -> Task:
    of: dict[str, Any] = dict.fromkeys(Task.model_fields) | {"name": "main", "executions": [], "attempt": 1}
    return Task.model_construct(**of | {"status": status, "reason": reason} | changes)


def job(status: JobStatus, reason: Reason | None, *tasks: Task) -> JobDetail:
    return JobDetail.model_construct(id="j", status=status, reason=reason, detail=None, tasks=list(tasks))


CANCELLED = task(TaskStatus.CANCELLED, Reason.CANCELLED)


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        ("cancelled", Reason.CANCELLED, "cancelled"),
        ("lost", Reason.LOST, "lost"),
        ("timed_out", Reason.TIMEOUT, "timed_out"),
        ("cancelled", Reason.SUPERSEDED, "cancelled (superseded)"),
        ("failed", Reason.TIMEOUT, "failed (timeout)"),
        ("succeeded", None, "succeeded"),
    ],
)
def test_a_status_has_a_reason_only_if_that_adds_to_it(status: str, reason: Reason | None, text: str) -> None:
    assert status_text(status, reason).plain == text


def test_a_cancelled_job_is_only_called_cancelled() -> None:
    assert outcome_in_words(job(JobStatus.CANCELLED, Reason.CANCELLED, CANCELLED)) == "job j cancelled"
    assert outcome_in_words(job(JobStatus.CANCELLED, Reason.CANCELLED)) == "job j cancelled"


def test_a_cancelled_job_says_what_failed_before() -> None:
    failed = task(TaskStatus.FAILED, Reason.EXIT_CODE, exit_code=3)
    ended = job(JobStatus.CANCELLED, Reason.CANCELLED, failed, CANCELLED)
    assert outcome_in_words(ended) == "job j cancelled: main: exit_code 3"


def test_a_timeout_says_its_limit() -> None:
    assert failure_in_words(task(TaskStatus.FAILED, Reason.TIMEOUT, timeout=1.0, exit_code=143)) == (
        "main: timeout after 1 s"
    )
    undecided = task(TaskStatus.FAILED, Reason.TIMEOUT, timeout=5.0, detail="it was not decided within 5 s")
    assert failure_in_words(undecided) == "main: timeout: it was not decided within 5 s"
