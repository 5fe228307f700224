"""`hodei run`, interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest

from hodei import run
from hodei.client import Client, Unreachable
from schemas.rest.jobs import JobLogLine


class Endless:
    """A platform on which a job neither ends nor heeds being cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    async def follow_logs(self, job_id: str) -> AsyncIterator[JobLogLine]:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        yield cast(JobLogLine, job_id)

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


async def test_a_job_that_does_not_end_is_left_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "LONGEST_CANCEL", 0.05)
    platform = Endless()
    assert await run.follow_to_the_end(cast(Client, platform), "job-1") == 128 + signal.SIGTERM
    assert platform.cancelled == ["job-1"]
    assert "left job job-1, which is still being cancelled" in capsys.readouterr().err


class Deaf(Endless):
    """One that cannot be reached."""

    async def cancel(self, job_id: str) -> None:
        raise Unreachable("http://here:1: is the platform up?")


async def test_a_job_that_could_not_be_told_to_stop_is_not_said_to_be_stopping(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "LONGEST_CANCEL", 0.05)
    assert await run.follow_to_the_end(cast(Client, Deaf()), "job-1") == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "is the platform up?" in said
    assert "left job job-1, which could not be told to stop and may go on" in said
