"""What the platform tells is shown, and nothing in it acts on the terminal, whoever wrote it and however long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from hodei import cli
from hodei.asking import with_client
from hodei.client import Client, ClientError
from hodei.embedded.terminal import say
from hodei.escapes import escaped
from hodei.lists import print_executions, print_queue
from hodei.pipelines import print_pipelines
from hodei.schedule_views import print_history, print_schedule, print_schedules
from hodei.views import Output, print_job, print_jobs
from hodei.workers import print_workers
from schemas.model import acts
from schemas.rest.dead_letters import DeadLetter
from schemas.rest.executions import ManagedExecution
from schemas.rest.jobs import Execution as TaskExecution
from schemas.rest.jobs import Job, JobDetail, JobLogLine, Task
from schemas.rest.pipelines import Pipeline
from schemas.rest.schedules import Explanation, Firing, QueuedTask, Schedule, WorkerVerdict
from schemas.rest.workers import RegisteredWorker
from schemas.states import (
    ExecutionStatus,
    FiringKind,
    FiringOutcome,
    JobStatus,
    Reason,
    ScheduleStatus,
    TaskStatus,
    WorkerStatus,
)
from schemas.steps import Approval, Decision

EVIL = "a\x1b[31mred\x07\x9b2J\x7f\r\t\x0b\u202e\u2028b"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_EXECUTION = TaskExecution.model_construct(worker_id="w", worker_name=EVIL, detail=EVIL, attempt=1, reason=None)
_TASK = Task.model_construct(
    id="t", name=EVIL, status=TaskStatus.FAILED, reason=Reason.START_FAILED, detail=EVIL, attempt=1,
    command=f"first {EVIL}\nsecond", exit_code=None, started_at=None, finished_at=None, executions=[_EXECUTION],
    labels={"stage": EVIL}, outputs={"TAG": EVIL}, matrix=None, condition=EVIL,
    approval=None, decision=None, requires={"zone": EVIL}, resources=None,
)  # fmt: skip
_DECISION = Decision(approved=False, by=EVIL, comment=EVIL, at=NOW)
_ASKED = _TASK.model_copy(update={"command": None, "approval": Approval(message=EVIL), "decision": _DECISION})
_OF_MATRIX = _TASK.model_copy(update={"matrix": {"os": EVIL}})
_JOB: dict[str, Any] = {
    "id": "j", "name": EVIL, "status": JobStatus.FAILED, "reason": None, "detail": EVIL, "pipeline_id": None,
    "priority": "normal", "params": {"who": EVIL}, "labels": {"team": EVIL}, "created_at": NOW, "started_at": None,
    "finished_at": None, "rerun_of": None,
}  # fmt: skip
_MANAGED = ManagedExecution.model_construct(
    id="e", status=ExecutionStatus.FAILED, reason=None, exit_code=1, worker_name=EVIL, job_id="j", attempt=1,
    created_at=NOW, started_at=None, finished_at=None,
)  # fmt: skip
_QUEUED = QueuedTask.model_construct(
    task_id="t", position=1, name=EVIL, job_id="j", priority="low", attempt=1, requires={"a": EVIL}, queued_at=NOW
)
_PIPELINE = Pipeline.model_construct(id="p", status="active", name=EVIL, version=1, steps=[], updated_at=NOW)
_SCHEDULE = Schedule.model_construct(
    **dict.fromkeys(Schedule.model_fields)
    | {"id": "s", "status": ScheduleStatus.SCHEDULED, "name": EVIL, "command": f"run {EVIL}", "last_error": EVIL}
    | {"params": {"who": EVIL}, "env": {"WHO": EVIL}, "labels": {"team": EVIL}, "created_at": NOW, "cron": EVIL}
)
_FIRING = Firing.model_construct(
    id="f", kind=FiringKind.TIME, outcome=FiringOutcome.REFUSED, reason="invalid", detail=EVIL, due_at=NOW, count=1,
    more=False, job_id=None,
)  # fmt: skip
_WORKER = RegisteredWorker.model_construct(
    id="w", name=EVIL, type=EVIL, status=WorkerStatus.ONLINE, drained=False, busy=0, slots=1
)
_LINE = JobLogLine.model_construct(stream="system", message=EVIL, task=EVIL, matrix={"os": EVIL}, execution_id="e")

PRINTS: dict[str, Callable[[], object]] = {
    "jobs": lambda: print_jobs([Job.model_construct(**_JOB)]),
    "a job": lambda: print_job(JobDetail.model_construct(**_JOB, tasks=[_TASK])),
    "a job with a matrix": lambda: print_job(JobDetail.model_construct(**_JOB, tasks=[_OF_MATRIX])),
    "a job with an approval": lambda: print_job(JobDetail.model_construct(**_JOB, tasks=[_ASKED])),
    "executions": lambda: print_executions([_MANAGED]),
    "the queue": lambda: print_queue([_QUEUED]),
    "pipelines": lambda: print_pipelines([_PIPELINE]),
    "schedules": lambda: print_schedules([_SCHEDULE]),
    "a schedule": lambda: print_schedule(_SCHEDULE),
    "what a schedule did": lambda: print_history([_FIRING]),
    "workers": lambda: print_workers([_WORKER]),
    "a remark in the output": lambda: asyncio.run(Output().show(_LINE)),
    "what is said": lambda: say(EVIL),
    "an error": lambda: with_client(_refused),
}


async def _refused(_client: Client) -> int:
    raise ClientError(f"refused: {EVIL}\n  another line")


def _harmless(text: str) -> None:
    assert "\\x1b[31mred" in text
    assert [character for character in text if acts(character) and character != "\n"] == []


@pytest.mark.parametrize("what", PRINTS)
def test_nothing_that_is_shown_acts_on_the_terminal(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    PRINTS[what]()
    shown = capfd.readouterr()
    _harmless(shown.out + shown.err)


def test_explanations_and_dead_letters_do_not_act_either(monkeypatch: pytest.MonkeyPatch) -> None:
    id = "0192f0c1-2345-7abc-8def-0123456789ab"
    opinion = WorkerVerdict.model_construct(worker_id="w", name=EVIL, refusal=EVIL)
    explanation = Explanation.model_construct(summary=EVIL, workers=[opinion], others=[])
    letter = DeadLetter.model_construct(
        id=id, stored_at=NOW, event_type="a.b", entity_id=None, error=EVIL, event={"name": EVIL}
    )

    async def job(_self: Client, _id: str) -> JobDetail:
        return JobDetail.model_construct(**_JOB, tasks=[_TASK])

    async def explain(_self: Client, _id: str) -> Explanation:
        return explanation

    async def dead_letters(_self: Client, _service: str, **_filters: object) -> Any:
        yield letter

    async def dead_letter(_self: Client, _service: str, _id: str) -> DeadLetter:
        return letter

    for name, fake in (
        ("job", job),
        ("explain", explain),
        ("dead_letters", dead_letters),
        ("dead_letter", dead_letter),
    ):
        monkeypatch.setattr(Client, name, fake)
    for command in (["explain", id], ["dead-letters", "list"], ["dead-letters", "show", id]):
        done = CliRunner().invoke(cli.app, command)
        assert done.exit_code == 0, done.output
        _harmless(done.output)


def test_line_ends_and_every_script_stay(capfd: pytest.CaptureFixture[str]) -> None:
    assert escaped("one\ntwo") == "one\ntwo"
    assert escaped("Größe 名前 שם 👩\u200d🚀") == "Größe 名前 שם 👩\u200d🚀"
    print_job(JobDetail.model_construct(**_JOB, tasks=[_TASK]))
    assert "\nsecond\n" in capfd.readouterr().out


def test_an_approval_is_shown_with_how_to_decide_it_or_with_the_decision(capfd: pytest.CaptureFixture[str]) -> None:
    waits = _ASKED.model_copy(update={"name": "ask", "status": TaskStatus.RUNNING, "reason": None, "decision": None})
    print_job(JobDetail.model_construct(**_JOB, tasks=[waits]))
    out = capfd.readouterr().out
    assert "\nask   running (approval)  " in out.partition("STEP")[2]
    assert "\nwaits for: hodei approve t\n" in out
    decided = _ASKED.model_copy(update={"reason": Reason.REJECTED, "detail": "rejected by ana"})
    print_job(JobDetail.model_construct(**_JOB, tasks=[decided]))
    assert "rejected by ana" not in capfd.readouterr().out, "the line of the decision says so"


def test_the_tasks_that_a_rerun_keeps_are_marked(capfd: pytest.CaptureFixture[str]) -> None:
    before = _TASK.model_copy(
        update={"name": "a", "status": TaskStatus.SUCCEEDED, "finished_at": NOW - timedelta(hours=1), "executions": []}
    )
    again = JobDetail.model_construct(**{**_JOB, "rerun_of": "earlier"}, tasks=[before, _TASK])
    print_job(again)
    out = capfd.readouterr().out
    assert "rerun of earlier\n" in out
    assert out.count("kept") == 1


def test_a_job_is_shown_with_the_labels_of_its_steps(capfd: pytest.CaptureFixture[str]) -> None:
    labelled = _TASK.model_copy(update={"labels": {"stage": "build", "team": "web"}})
    print_job(JobDetail.model_construct(**_JOB, tasks=[labelled]))
    assert "\nlabels   stage=build, team=web\n" in capfd.readouterr().out
    print_job(JobDetail.model_construct(**_JOB, tasks=[_TASK.model_copy(update={"labels": {}})]))
    assert "\nlabels" not in capfd.readouterr().out.partition("STEP")[2]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_job_is_shown_with_the_outputs_of_its_steps(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    outputs = {"TAG": "v1", "NOTES": "one\ntwo", "LONG": "x" * 100, **{f"N{number}": "" for number in range(20)}}
    print_job(JobDetail.model_construct(**_JOB, tasks=[_TASK.model_copy(update={"outputs": outputs})]))
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("output", "and"))]
    long = "output   LONG=" + ("x" * 65 + "…" if terminal else "x" * 100)
    assert lines[:3] == ["output   TAG=v1", r"output   NOTES=one\ntwo", long]
    assert lines[-2:] == ["output   N16=", "and 3 more outputs; --json shows all"]


@pytest.mark.parametrize(
    ("status", "reason", "explained"),
    [
        (TaskStatus.SUCCEEDED, None, False),
        (TaskStatus.FAILED, Reason.EXIT_CODE, True),
        (TaskStatus.SKIPPED, Reason.DEPENDENCY_FAILED, True),
        (TaskStatus.SKIPPED, Reason.CONDITION, False),
        (TaskStatus.SKIPPED, Reason.NOT_NEEDED, False),
        (TaskStatus.CANCELLED, Reason.FAIL_FAST, False),
    ],
)
def test_a_step_that_its_own_rules_skipped_is_no_failure(
    status: TaskStatus, reason: Reason | None, explained: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    task = _TASK.model_copy(update={"name": "undo", "status": status, "reason": reason, "detail": None})
    print_job(JobDetail.model_construct(**_JOB, tasks=[task]))
    assert (f"undo: {reason and reason.value}" in capsys.readouterr().out) == explained
