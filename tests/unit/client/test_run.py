"""`hodei run`, interrupted, closed and left."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest

from hodei import patience, run
from hodei.client import ApiError, Client, ClientError, Unreachable
from hodei.interrupts import SAME_REQUEST, Interrupts
from hodei.standard_streams import ClosedOutput
from hodei.views import Output
from schemas.rest.job_filters import JobsChanged, RefusedJob
from schemas.rest.jobs import JobCreate, JobDetail, JobLogLine, Task
from schemas.rest.problem import Problem
from schemas.states import JobStatus, Reason, TaskStatus

JOB = JobCreate(command="true")


class Endless:
    """A platform on which a job neither ends nor heeds being cancelled; following it sends a signal."""

    def __init__(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.cancelled: list[str] = []
        self._signal = number

    async def follow_logs(self, job_id: str) -> AsyncIterator[JobLogLine]:
        os.kill(os.getpid(), self._signal)
        await asyncio.Event().wait()
        yield cast(JobLogLine, job_id)

    async def cancel_jobs(self, ids: list[str]) -> JobsChanged:
        self.cancelled += ids
        return JobsChanged(matched=1, done=1, refused=[], more=False)


async def follow(platform: Endless) -> int:
    with Interrupts() as interrupts:
        return await run.follow_to_the_end(cast(Client, platform), "job-1", interrupts, quiet=True, output=Output())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_job_that_does_not_end_is_left_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    platform = Endless(number)
    assert await follow(platform) == 128 + number
    assert platform.cancelled == ["job-1"]
    assert "stopped following job job-1: the platform has accepted the request to cancel it" in capsys.readouterr().err


class Left(Endless):
    """One that leaves the job as it is; `status` is the job's, or None if it was deleted."""

    def __init__(self, status: JobStatus | None) -> None:
        super().__init__()
        self.status = status

    async def cancel_jobs(self, ids: list[str]) -> JobsChanged:
        refused = [RefusedJob(id=one, detail="it stays") for one in ids]
        return JobsChanged(matched=1, done=0, refused=refused, more=False)

    async def job(self, job_id: str) -> JobDetail:
        if self.status is None:
            problem = {"title": "Not Found", "status": 404, "detail": "it is gone", "instance": "/"}
            raise ApiError(Problem.model_validate(problem))
        return JobDetail.model_construct(id=job_id, status=self.status)


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (JobStatus.SUCCEEDED, "the job had already ended"),
        (None, "the job had already ended"),
        (JobStatus.RUNNING, "the platform has accepted the request to cancel it"),  # by another request
    ],
)
async def test_a_job_that_was_left_as_it_is_is_not_said_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: JobStatus | None, how: str
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    assert await follow(Left(status)) == 128 + signal.SIGTERM
    assert f"stopped following job job-1: {how}" in capsys.readouterr().err


async def test_signals_close_together_are_one_request() -> None:
    now = 100.0
    with Interrupts(clock=lambda: now) as interrupts:
        interrupts.note(signal.SIGINT)
        now += 0.02
        interrupts.note(signal.SIGTERM)
        now += SAME_REQUEST - 0.03
        interrupts.note(signal.SIGINT)
        assert not interrupts.insisted.is_set()
        now += 0.02
        interrupts.note(signal.SIGINT)
        assert interrupts.insisted.is_set()
        assert interrupts.first is signal.SIGINT


async def test_a_signal_just_after_a_closed_output_is_the_same_request() -> None:
    now = 100.0
    with Interrupts(clock=lambda: now) as interrupts:
        interrupts.note_closed(ClosedOutput.without_reader())
        now += 0.02
        interrupts.note(signal.SIGINT)
        assert not interrupts.insisted.is_set()
        assert interrupts.first is signal.SIGPIPE


async def test_a_hang_up_is_not_heard_where_it_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            await interrupts.asked.wait()
            assert interrupts.first is signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
async def test_an_output_that_takes_no_more_cancels_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    class Writing(Endless):
        async def follow_logs(self, job_id: str) -> AsyncIterator[JobLogLine]:
            yield cast(JobLogLine, job_id)

        async def wait(self, job_id: str, *, timeout: float) -> None:  # as the client has it
            await asyncio.Event().wait()

    async def refuse(_output: object, _line: JobLogLine) -> None:
        raise ClosedOutput("standard output", OSError(number, os.strerror(number)))

    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    monkeypatch.setattr(run.Output, "show", refuse)
    platform = Writing()
    full = number == errno.ENOSPC
    assert await follow(platform) == (run.PLATFORM_FAILED if full else 128 + signal.SIGPIPE)
    assert platform.cancelled == ["job-1"]
    assert ("No space left on device" in capsys.readouterr().err) is full


class Deaf(Endless):
    """One that cannot be reached."""

    async def cancel_jobs(self, ids: list[str]) -> JobsChanged:
        raise Unreachable("http://here:1: is the platform up?")


async def test_a_job_that_could_not_be_told_to_stop_is_not_said_to_be_stopping(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    assert await follow(Deaf()) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "is the platform up?" in said
    assert "stopped following job job-1: the platform has not confirmed the cancellation; the job may go on" in said


class Gone(Endless):
    """One that went away while the job ran."""

    async def follow_logs(self, job_id: str) -> AsyncIterator[JobLogLine]:
        raise Unreachable("http://here:1: is the platform up?")
        yield cast(JobLogLine, job_id)


async def test_a_job_out_of_sight_is_named_and_said_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert await follow(Gone()) == run.PLATFORM_FAILED
    assert (
        "stopped following job job-1: it may go on; 'hodei logs -f job-1' follows it again" in capsys.readouterr().err
    )


ROUNDS_OF_A_SIGNAL = 50
"""More turns of the event loop than it takes from a signal to its handler and to what waits for that."""


class Silent:
    """A platform that takes a submission and does not answer before it is told to."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.cancelled: list[str] = []
        self.answers = asyncio.Event()

    async def submit(self, job: JobCreate, *, idempotency_key: str | None = None) -> JobDetail:
        self.keys.append(idempotency_key)
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(ROUNDS_OF_A_SIGNAL):
            await asyncio.sleep(0)
        await self.answers.wait()
        return JobDetail.model_construct(id="job-1", tasks=[])

    async def cancel_jobs(self, ids: list[str]) -> JobsChanged:
        self.cancelled += ids
        return JobsChanged(matched=1, done=1, refused=[], more=False)

    async def follow_logs(self, job_id: str) -> AsyncIterator[JobLogLine]:
        await asyncio.Event().wait()
        yield cast(JobLogLine, job_id)


async def test_an_interrupt_before_the_answer_cancels_what_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.2)
    platform = Silent()
    platform.answers.set()

    assert await run.run(cast(Client, platform), JOB, detach=True) == 130

    assert platform.cancelled == ["job-1"]
    assert "not accepted yet: waiting for the response" in capsys.readouterr().err


async def test_leaving_before_the_answer_tells_that_the_job_may_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    monkeypatch.setattr(patience, "LAST_ANSWER", 0.0)
    platform = Silent()

    assert await run.run(cast(Client, platform), JOB) == 130

    said = capsys.readouterr().err
    assert "may have been accepted and may run" in said
    assert platform.keys[0] is not None
    assert platform.keys[0] in said


@pytest.mark.parametrize("perhaps", [True, False])
async def test_a_submission_without_an_answer_tells_whether_it_may_have_arrived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], perhaps: bool
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.0)

    class Away:
        async def submit(self, job: JobCreate, *, idempotency_key: str | None = None) -> JobDetail:
            raise Unreachable("http://here:1: no answer in time", perhaps_received=perhaps)

    assert await run.run(cast(Client, Away()), JOB) == run.PLATFORM_FAILED
    assert ("may have been accepted and may run" in capsys.readouterr().err) is perhaps


async def test_asking_goes_on_while_a_service_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.001)
    answers: list[ClientError | str] = [Unreachable("away"), Unreachable("away"), "here"]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    assert await patience.patiently(ask) == "here"
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    answers[:] = [Unreachable("away")]
    with pytest.raises(Unreachable):
        await patience.patiently(ask)


def test_a_job_whose_clean_up_was_running_at_its_time_limit_timed_out() -> None:
    tasks = [Task.model_construct(status=TaskStatus.SUCCEEDED, reason=None, exit_code=0, allow_failure=False)]
    job = JobDetail.model_construct(id="job-1", status=JobStatus.FAILED, reason=Reason.JOB_TIMEOUT, tasks=tasks)
    assert run.exit_code(job) == 124
