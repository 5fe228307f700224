"""Approvals: they run nothing, they are decided once, and the job's time stands still meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.definition import StepRules
from orchestrator.domain.orders import Queued
from orchestrator.domain.run import JobRun, NotAsked
from orchestrator.domain.state import JobState, TaskState
from schemas.states import JobStatus, Reason, TaskStatus
from schemas.steps import Approval, Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def run_of(*, timeout: float | None = None, deadline: float | None = None) -> JobRun:
    """A job of an approval, and a step after it."""
    rules = StepRules("ask", approval=Approval(message="deploy?", timeout=timeout))
    tasks = {"ask": TaskState("ask", rules), "go": TaskState("go", StepRules("go", ("ask",)))}
    job = JobState("job", "name", NOW, deadline=after(deadline) if deadline else None)
    job.due_at = job.deadline
    run = JobRun(job, tasks, draw=lambda: 0.0)
    run.begin(NOW)
    return run


def said(run: JobRun) -> list[str]:
    return [entry.event.event_type for entry in run.journal if not isinstance(entry.event, Queued)]


def decision(*, approved: bool = True, at: float = 1.0) -> Decision:
    return Decision(approved=approved, by="ana", comment="seen", at=after(at))


def test_an_approval_runs_nothing_and_its_job_has_begun() -> None:
    run = run_of()
    assert run.ordered == []
    assert (run.tasks["ask"].status, run.job.status) == (TaskStatus.RUNNING, JobStatus.RUNNING)
    assert said(run) == ["tasks.approval_requested", "jobs.started"]


def test_an_approval_lets_the_next_step_run() -> None:
    run = run_of()
    run.settle("ask", decision(), after(1))
    assert (run.tasks["ask"].status, run.tasks["go"].status) == (TaskStatus.SUCCEEDED, TaskStatus.QUEUED)
    assert run.tasks["ask"].decision == decision()
    assert said(run)[2:] == ["tasks.approved", "tasks.succeeded"]


def test_a_rejection_fails_the_job_with_its_reason() -> None:
    run = run_of()
    run.settle("ask", decision(approved=False), after(1))
    assert (run.job.status, run.job.reason, run.job.detail) == (
        JobStatus.FAILED,
        Reason.REJECTED,
        "step ask: rejected by ana: seen",
    )


def test_a_second_decision_is_refused() -> None:
    run = run_of()
    run.settle("ask", decision(), after(1))
    with pytest.raises(NotAsked, match="step ask was approved before by ana"):
        run.settle("ask", decision(approved=False), after(2))
    with pytest.raises(NotAsked, match="step go is not an approval"):
        run.settle("go", decision(), after(2))


def test_an_approval_of_a_job_that_was_cancelled_is_refused() -> None:
    run = run_of()
    run.cancel(after(1))
    assert run.job.status is JobStatus.CANCELLED, "nothing has to be stopped first"
    with pytest.raises(NotAsked, match=r"step ask is over: cancelled \(cancelled\)"):
        run.settle("ask", decision(), after(2))


def test_an_approval_that_nobody_decides_fails_at_its_time_limit() -> None:
    run = run_of(timeout=5)
    assert run.job.due_at == after(5)
    assert not run.due(after(4.9))
    assert run.due(after(5))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert run.job.detail == "step ask: it was not decided within 5 s"


def test_the_time_of_a_job_stands_still_while_an_approval_waits() -> None:
    run = run_of(deadline=10)
    assert (run.job.deadline, run.job.time_left, run.job.due_at) == (None, timedelta(seconds=10), None)
    assert not run.due(after(1000))
    run.settle("ask", decision(), after(1000))
    assert (run.job.deadline, run.job.time_left, run.job.due_at) == (after(1010), None, after(1010))
    assert run.due(after(1010))
    assert run.job.stopping is Reason.JOB_TIMEOUT


def test_time_goes_on_only_after_the_last_of_two_approvals() -> None:
    tasks = {id: TaskState(id, StepRules(id, approval=Approval(timeout=limit))) for id, limit in (("a", 7), ("b", 3))}
    job = JobState("job", "name", NOW, deadline=after(10))
    run = JobRun(job, tasks, draw=lambda: 0.0)
    run.begin(NOW)
    assert job.due_at == after(3)
    run.settle("b", decision(), after(2))
    assert (job.deadline, job.due_at) == (None, after(7))
    run.settle("a", decision(), after(4))
    assert job.status is JobStatus.SUCCEEDED
