"""Approvals: they run nothing, they are decided once, and the job's time stands still meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from orchestrator.domain.definition import StepRules
from orchestrator.domain.orders import Queued
from orchestrator.domain.parameters import InvalidParameters
from orchestrator.domain.run import JobRun, NotAsked
from orchestrator.domain.state import JobState, TaskState
from orchestrator.domain.steps import Step
from schemas.access import Actor
from schemas.events import TaskApprovalRequested, TaskApproved, TaskRejected
from schemas.params import ParamSpec, Scalar
from schemas.states import JobStatus, Reason, TaskStatus
from schemas.steps import Approval, ApprovalStep, Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


INPUTS = {
    "version": ParamSpec(required=True, pattern="v[0-9]+"),
    "replicas": ParamSpec(type="integer", default=2),
    "note": ParamSpec(),
}


def run_of(
    *,
    timeout: float | None = None,
    deadline: float | None = None,
    run_at: float | None = None,
    inputs: dict[str, ParamSpec] | None = None,
) -> JobRun:
    """A job of an approval, and a step after it."""
    rules = StepRules("ask", approval=Approval(message="deploy?", timeout=timeout, inputs=inputs or {}))
    tasks = {"ask": TaskState("ask", rules), "go": TaskState("go", StepRules("go", ("ask",)))}
    job = JobState("job", "name", NOW, deadline=after(deadline) if deadline else None)
    job.due_at, job.run_at = job.deadline, after(run_at) if run_at else None
    run = JobRun(job, tasks, draw=lambda: 0.0)
    run.begin(NOW)
    return run


ANA = Actor(id="token-ana", name="ana")


@pytest.mark.parametrize(
    ("by", "token", "words"),
    [
        ("dora", None, "rejected by dora: no"),
        (None, ANA, "rejected by ana: no"),
        ("ana", ANA, "rejected by ana: no"),
        ("dora", ANA, "rejected by dora (token ana): no"),
        (None, None, "rejected: no"),
    ],
)
def test_a_rejection_says_who_decided(by: str | None, token: Actor | None, words: str) -> None:
    run = run_of()
    run.settle("ask", Decision(approved=False, by=by, comment="no", decided_by=token, at=after(1)), after(1))

    assert run.tasks["ask"].detail == words
    [event] = [one.event for one in run.journal if isinstance(one.event, TaskRejected)]
    assert event.decided_by == token


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


def test_the_inputs_of_an_approval_are_recorded_and_become_its_outputs() -> None:
    run = run_of(inputs=INPUTS)
    [asked] = [entry.event for entry in run.journal if isinstance(entry.event, TaskApprovalRequested)]
    assert asked.inputs == INPUTS
    given = decision().model_copy(update={"inputs": {"version": "v3", "replicas": "4"}})
    run.settle("ask", given, after(1))
    task = run.tasks["ask"]
    assert task.decision is not None
    assert task.decision.inputs == {"version": "v3", "replicas": 4}
    assert task.outputs == {"version": "v3", "replicas": "4"}
    [approved] = [entry.event for entry in run.journal if isinstance(entry.event, TaskApproved)]
    assert (approved.inputs, approved.by) == ({"version": "v3", "replicas": 4}, "ana")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "version: is required, and should be a string"),
        ({"version": "3"}, "version: should match the pattern v[0-9]+"),
        ({"version": "v3", "replicas": "many"}, "replicas: should be a whole number"),
        ({"version": "v3", "replica": 1}, "replica: the approval declares no such input; did you mean replicas?"),
        (
            {"version": "v3", "note": "x" * 70_000},
            "inputs: have 70,022 bytes; as outputs of a step they have at most 65,536",
        ),
    ],
)
def test_inputs_that_are_not_as_declared_change_nothing(given: dict[str, Scalar], says: str) -> None:
    run = run_of(inputs=INPUTS)
    before = len(run.journal)
    with pytest.raises(InvalidParameters, match=re.escape(says)):
        run.settle("ask", decision().model_copy(update={"inputs": given}), after(1))
    assert (run.tasks["ask"].asks, run.tasks["ask"].decision, len(run.journal)) == (True, None, before)


def test_an_approval_that_declares_no_inputs_takes_none() -> None:
    with pytest.raises(InvalidParameters, match="x: the approval declares no such input"):
        run_of().settle("ask", decision().model_copy(update={"inputs": {"x": "y"}}), after(1))


def test_the_declarations_of_inputs_fit_an_event() -> None:
    fields = {"name": "ask", "type": "approval", "inputs": {"a": {"type": "choice", "choices": ["x" * 900]}}}
    assert ApprovalStep.model_validate(fields).approval().inputs["a"].choices
    many = {"a": {"type": "choice", "choices": [f"{n:03}" + "x" * 900 for n in range(100)]}}
    with pytest.raises(ValidationError, match="bytes as JSON; the inputs of an approval take at most 65,536"):
        ApprovalStep.model_validate(fields | {"inputs": many})


def test_a_rejection_needs_no_inputs() -> None:
    run = run_of(inputs=INPUTS)
    run.settle("ask", decision(approved=False), after(1))
    assert (run.tasks["ask"].outputs, run.job.reason) == (None, Reason.REJECTED)


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


def test_an_approval_is_not_asked_before_the_time_of_its_job() -> None:
    run = run_of(timeout=10, deadline=160, run_at=100)
    assert (run.tasks["ask"].status, run.job.status, said(run)) == (TaskStatus.PENDING, JobStatus.PENDING, [])
    assert run.job.due_at == after(100)
    with pytest.raises(NotAsked, match="step ask is not asked yet"):
        run.settle("ask", decision(), after(1))
    assert not run.due(after(99))
    assert run.due(after(100))
    assert (run.tasks["ask"].status, run.tasks["ask"].decide_by) == (TaskStatus.RUNNING, after(110))
    assert (run.job.due_at, run.job.time_left) == (after(110), timedelta(seconds=60))
    run.settle("ask", decision(), after(105))
    assert (run.tasks["go"].status, run.tasks["go"].run_at, run.job.due_at) == (TaskStatus.QUEUED, None, after(165))


def test_a_job_is_cancelled_before_its_time_although_an_approval_waits_for_that() -> None:
    run = run_of(run_at=100)
    run.cancel(after(1))
    assert (run.job.status, run.tasks["ask"].status) == (JobStatus.CANCELLED, TaskStatus.CANCELLED)


def test_what_follows_a_step_that_never_ran_keeps_to_the_time_of_its_job() -> None:
    asks = StepRules("ask", ("first",), approval=Approval(), when="always")
    tasks = {
        "first": TaskState("first", StepRules("first", condition="false")),
        "ask": TaskState("ask", asks),
        "go": TaskState("go", StepRules("go", ("first",))),
    }
    run = JobRun(JobState("job", "name", NOW, run_at=after(100)), tasks, draw=lambda: 0.0)
    run.begin(NOW)
    assert {id: task.status.value for id, task in tasks.items()} == {
        "first": "skipped",
        "ask": "pending",
        "go": "queued",
    }
    assert tasks["go"].run_at == run.job.due_at == after(100)
    run.cancel(after(1))
    assert tasks["ask"].status is TaskStatus.CANCELLED


@contextmanager
def looks() -> Iterator[list[str]]:
    """Notes each question to a task or step whether it waits, or until when."""
    noted: list[str] = []

    def counted(kind: type, name: str) -> property:
        real = getattr(kind, name)

        def look(self: object) -> object:
            noted.append(name)
            return real.fget(self)

        return property(look)

    with pytest.MonkeyPatch.context() as patch:
        for kind, name in ((TaskState, "asks"), (TaskState, "decide_by"), (Step, "ready")):
            patch.setattr(kind, name, counted(kind, name))
        yield noted


@pytest.mark.parametrize("run_at", [None, after(5)])
@pytest.mark.parametrize("ends", ["time out", "cancel"])
def test_a_thousand_approvals_are_looked_at_a_few_times_each(ends: str, run_at: datetime | None) -> None:
    many = 1000
    rules = [StepRules(f"ask{number}", approval=Approval(timeout=10 + number)) for number in range(many)]
    tasks = {rule.name: TaskState(rule.name, rule) for rule in rules}
    job = JobState("job", "name", NOW, deadline=after(9000), run_at=run_at)
    run = JobRun(job, tasks, draw=lambda: 0.0)
    with looks() as noted:
        run.begin(NOW)
        if run_at is not None:
            assert job.due_at == run_at
            assert run.due(run_at)
        began = run_at or NOW
        assert (job.due_at, job.deadline, run.due_changed) == (began + timedelta(seconds=10), None, True)
        if ends == "cancel":
            run.cancel(after(6))
        else:
            assert run.due(began + timedelta(seconds=10 + many - 2))
            assert (job.due_at, job.deadline) == (began + timedelta(seconds=10 + many - 1), None), "one still waits"
            assert run.due(after(5000))
    assert job.status is (JobStatus.CANCELLED if ends == "cancel" else JobStatus.FAILED)
    assert len(noted) < 50 * many


def test_each_change_of_what_waits_is_seen_when_the_run_goes_on() -> None:
    tasks = {f"ask{n}": TaskState(f"ask{n}", StepRules(f"ask{n}", approval=Approval(timeout=10 + n))) for n in range(3)}
    tasks["go"] = TaskState("go", StepRules("go", tuple(tasks)))
    job = JobState("job", "name", NOW, deadline=after(100))
    run = JobRun(job, tasks, draw=lambda: 0.0)
    run.begin(NOW)
    for last in range(3):
        loaded = JobRun(job, tasks, draw=lambda: 0.0)  # knows of nothing that was counted before
        assert (job.due_at, job.deadline) == (after(10 + last), None)
        loaded.settle(f"ask{last}", decision(), after(4))
        assert loaded.due_changed
        loaded.written()
        assert not loaded.due_changed
    assert (job.due_at, job.deadline, job.time_left) == (after(104), after(104), None)
