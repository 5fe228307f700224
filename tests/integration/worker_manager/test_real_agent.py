"""The worker manager with real agents that run real processes; the scheduler is played by the test."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from schemas.agents import Heartbeat
from schemas.events import ExecutionFinished, WorkerStopped
from tests.fixtures.processes import gone
from tests.integration.worker_manager.conftest import DEADLINE, Ears, Platform, Running, Start, events_in
from tests.unit.worker_manager.events import Script


class Word:
    """A pipe by which a job says that it runs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "word"
        os.mkfifo(self.path)

    async def heard(self) -> str:
        return (await asyncio.wait_for(asyncio.to_thread(self.path.read_text), DEADLINE)).strip()

    async def say(self) -> None:
        await asyncio.wait_for(asyncio.to_thread(self.path.write_text, "go\n"), DEADLINE)


@pytest.fixture
async def heartbeats(platform: Platform) -> Ears:
    return await platform.listen_to_agent("*", "heartbeat")


@pytest.fixture
async def manager(start: Start) -> Running:
    return await start()


async def started(manager: Running, heartbeats: Ears) -> tuple[Any, Script]:
    """A worker, and an execution placed on it."""
    worker = await manager.call("POST", "/workers", json={"slots": 2})
    heartbeat = Heartbeat.model_validate_json(await heartbeats.next())
    assert heartbeat.worker_id == worker["id"]
    return worker, Script(worker["id"], heartbeat.incarnation)


async def test_a_job_goes_out_and_its_outcome_and_output_come_back(
    platform: Platform, manager: Running, heartbeats: Ears
) -> None:
    _, script = await started(manager, heartbeats)

    await platform.say(script.scheduled(command="echo $TOKEN; exit 3"))
    await manager.recorded(3)  # scheduled, started, finished

    shown = await manager.call("GET", f"/executions/{script.execution_id}")
    assert (shown["status"], shown["exit_code"], shown["reason"]) == ("failed", 3, "exit_code")
    logs = await manager.call("GET", f"/executions/{script.execution_id}/logs")
    assert [line["message"] for line in logs["logs"]] == ["secret"]


async def test_killing_the_agent_ends_its_jobs_before_it_is_told(
    platform: Platform, manager: Running, heartbeats: Ears, tmp_path: Path
) -> None:
    word = Word(tmp_path)
    worker, script = await started(manager, heartbeats)
    ears = await platform.listen_to(WorkerStopped)
    await platform.say(script.scheduled(command=f"setsid sh -c 'echo $$ > {word.path}; sleep 300'"))
    job = int(await word.heard())

    os.kill(worker["pid"], signal.SIGKILL)

    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.status, stopped.clean) == ("failed", False)
    assert await gone(job, within=0.1)


async def test_a_drained_worker_finishes_what_it_has(
    platform: Platform, manager: Running, heartbeats: Ears, tmp_path: Path
) -> None:
    word = Word(tmp_path)
    worker, script = await started(manager, heartbeats)
    ears = await platform.listen_to(WorkerStopped)
    finished = await platform.listen_to(ExecutionFinished)
    await platform.say(script.scheduled(command=f"echo on > {word.path}; read go < {word.path}; echo done"))
    assert await word.heard() == "on"

    state = await manager.call("DELETE", f"/workers/{worker['id']}")
    assert state["status"] == "draining"
    await word.say()

    [outcome] = events_in(await finished.next(), ExecutionFinished)
    assert outcome.status == "succeeded"
    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.status, stopped.clean, stopped.exit_code) == ("stopped", True, 0)


async def test_a_job_goes_on_while_the_service_is_restarted(
    platform: Platform, start: Start, heartbeats: Ears, tmp_path: Path
) -> None:
    word = Word(tmp_path)
    first = await start()
    worker, script = await started(first, heartbeats)
    await platform.say(script.scheduled(command=f"echo on > {word.path}; read go < {word.path}; echo done"))
    assert await word.heard() == "on"
    await first.stop()

    second = await start()
    await word.say()
    await second.recorded(1)

    consumer = second.consumer("worker-manager-executions")
    async with asyncio.timeout(DEADLINE):
        while True:
            handled = consumer.handled  # before looking: what comes after it is waited for, not missed
            if (await second.call("GET", f"/executions/{script.execution_id}"))["status"] == "succeeded":
                break
            await second.recorded(handled + 1)
    assert (await second.call("GET", f"/workers/{worker['id']}/status"))["status"] == "running"
