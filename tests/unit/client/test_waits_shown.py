"""`hodei show` says why a job waits, and what its steps require."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from hodei import cli, waiting
from hodei.client import Client, ClientError
from schemas.rest.concurrency import KeyWait
from schemas.rest.jobs import JobDetail, Task
from schemas.rest.schedules import Explanation
from schemas.specs import Resources
from schemas.states import JobStatus, TaskStatus

ID = "0192f0c1-2345-7abc-8def-0123456789ab"
LACKS = "waits: the only worker lacks the label zone=mars"


def task(name: str, status: TaskStatus = TaskStatus.QUEUED, **fields: object) -> Task:
    of: dict[str, Any] = {"requires": {}, "resources": None, "labels": {}, "outputs": {}, "executions": []}
    of |= dict.fromkeys(
        ("reason", "detail", "exit_code", "matrix", "started_at", "finished_at", "condition", "approval", "decision")
    )
    return Task.model_construct(**of | {"id": name, "name": name, "status": status, "command": "true"} | fields)


def shown(
    monkeypatch: pytest.MonkeyPatch, *tasks: Task, told: Explanation | ClientError | None, wait: KeyWait | None = None
) -> list[str]:
    """The lines of `hodei show`. `told` is what the scheduler answers; None if it does not answer at all."""
    of: dict[str, Any] = dict.fromkeys(("reason", "rerun_of", "pipeline_id", "started_at", "finished_at"))
    of |= {"id": ID, "name": "n", "status": JobStatus.PENDING, "created_at": datetime(2026, 11, 29, tzinfo=UTC)}
    found = JobDetail.model_construct(**of, params={}, labels={}, key_wait=wait, tasks=list(tasks))

    async def job(_self: Client, _id: str) -> JobDetail:
        return found

    async def explain(_self: Client, _id: str) -> Explanation:
        if told is None:
            await asyncio.Event().wait()
        if isinstance(told, Explanation):
            return told
        raise told or AssertionError

    monkeypatch.setattr(Client, "job", job)
    monkeypatch.setattr(Client, "explain", explain)
    done = CliRunner().invoke(cli.app, ["show", ID])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def explained(summary: str, status: TaskStatus = TaskStatus.QUEUED) -> Explanation:
    return Explanation.model_construct(summary=summary, status=status, workers=[])


def test_a_job_that_waits_for_a_worker_says_why_and_what_it_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    needs: dict[str, object] = {"requires": {"zone": "mars", "gpu": "yes"}, "resources": Resources(cpu_m=4000)}
    lines = shown(monkeypatch, task("main", **needs), told=explained(LACKS))
    assert "waits    the only worker lacks the label zone=mars" in lines
    assert "requires gpu=yes, zone=mars, cpu_m 4000" in lines


def test_of_several_tasks_the_first_that_waits_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, task("a", TaskStatus.RUNNING), task("b"), task("c"), told=explained(LACKS))
    assert "waits    b: the only worker lacks the label zone=mars; 1 more task waits" in lines
    assert not [line for line in lines if line.startswith("requires")]


def test_a_job_that_waits_for_its_key_says_so_without_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = KeyWait.model_construct(summary="waits: the concurrency key 'k' lets at most 1 job at a time run")
    lines = shown(monkeypatch, task("a", TaskStatus.PENDING), told=None, wait=wait)
    assert "waits    the concurrency key 'k' lets at most 1 job at a time run" in lines


def test_nothing_is_said_of_a_task_that_has_begun_since(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, task("a"), told=explained("runs on worker w", TaskStatus.RUNNING))
    assert not [line for line in lines if line.startswith("waits")]


def test_a_job_is_shown_without_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, task("a"), told=ClientError("the scheduler does not answer"))
    assert "waits    for a worker; why is not known: the scheduler does not answer" in lines
    monkeypatch.setattr(waiting, "ASKING", 0.01)
    lines = shown(monkeypatch, task("a"), told=None)
    assert "waits    for a worker; the scheduler does not say why in time" in lines
