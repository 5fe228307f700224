"""Workers of a person's own (`hodei worker`): attempts go where they can succeed, drains last, stops are no crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.rest.workers import RegisteredWorker, WorkerStart
from schemas.states import ExecutionStatus, Reason, WorkerStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually, feed

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


async def end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.kill()
        await worker.wait()


@pytest.fixture
async def worker(platform: Platform, client: Client, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts an agent as `hodei worker` does: `await worker("name", {"x": "1"})`; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            name: str, labels: Mapping[str, str], *, path: str | None = None, slots: int = 2, stop_deadline: float = 2
        ) -> asyncio.subprocess.Process:
            environment = {
                **{key: value for key, value in os.environ.items() if not key.startswith("HODEI_")},
                "NATS_URL": platform.nats_url or "",
                "HODEI_WORKER_NAME": name,
                "HODEI_WORKER_LABELS": ",".join(f"{key}={value}" for key, value in labels.items()),
                "HODEI_WORKER_SLOTS": str(slots),
                "HODEI_STATE_DIR": str(tmp_path / name),
                "HODEI_STOP_DEADLINE": str(stop_deadline),
                **({"PATH": path} if path is not None else {}),
            }
            if platform.keys is not None:
                join = tmp_path / f"{name}.join"
                join.write_text((await client.create_join_token({"name": name})).token or "")
                environment["HODEI_JOIN"] = str(join)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "worker_manager.agent", env=environment, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            stack.push_async_callback(end, process)
            return process

        yield start


async def known(client: Client, name: str, status: WorkerStatus) -> RegisteredWorker | None:
    """The worker of this name, once it has this status."""
    async for one in client.registered_workers(name=name):
        if one.status is status:
            return one
    return None


async def test_the_next_attempt_goes_to_a_worker_that_can_run_it(client: Client, worker: Start, tmp_path: Path) -> None:
    zone = unique("zone")
    program = tmp_path / "bin" / "tool-x"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 0.2\n")
    program.chmod(0o755)
    able, unable = unique("able"), unique("unable")
    await worker(able, {"zone": zone}, path=f"{program.parent}:{os.environ['PATH']}")
    await worker(unable, {"zone": zone})
    for name in (able, unable):
        await eventually(lambda name=name: known(client, name, WorkerStatus.ONLINE))
    wanted = command_job(["tool-x"], requires={"zone": zone}, retry={"max_attempts": 3, "delay": 0.1})

    jobs = await client.submit_many([wanted] * 12)

    for job in jobs:
        await expect.succeeds(client, job.id)


async def test_a_drain_outlasts_the_process_until_it_is_lifted(client: Client, worker: Start) -> None:
    name, zone = unique("drained"), unique("zone")
    process = await worker(name, {"zone": zone})
    drained = await eventually(lambda: known(client, name, WorkerStatus.ONLINE))
    await client.drain_worker(drained.id)
    for number in (signal.SIGTERM, signal.SIGKILL):
        process.send_signal(number)
        await process.wait()
        process = await worker(name, {"zone": zone})
        again = await eventually(lambda: known(client, name, WorkerStatus.DRAINING))
        assert (again.id, again.drained) == (drained.id, True)
    job = await client.submit(command_job("true", requires={"zone": zone}))

    lifted = await client.resume_worker(drained.id)

    assert (lifted.status, lifted.drained) == (WorkerStatus.ONLINE, False)
    await expect.succeeds(client, job.id)


@pytest.mark.parametrize("stop_deadline", [2, 0.1])
async def test_stops_that_were_ordered_are_no_crashes(
    client: Client, own_platform: Platform, worker: Start, tmp_path: Path, stop_deadline: float
) -> None:
    name, zone = unique("stopped"), unique("zone")
    process = await worker(name, {"zone": zone}, stop_deadline=stop_deadline)
    command = f"test -e {tmp_path}/enough && exit 0; sleep 120"
    async with (
        feed(own_platform, "executions.*.started") as started,
        feed(own_platform, "executions.*.lost") as lost,
    ):
        job = await client.submit(command_job(command, requires={"zone": zone}, max_crashes=0))
        for _ in range(2):
            await started.next(lambda data: data["job_id"] == job.id)
            process.terminate()
            assert (await lost.next(lambda data: data["job_id"] == job.id))["reason"] == Reason.WORKER_STOPPED
            await process.wait()
            process = await worker(name, {"zone": zone}, stop_deadline=stop_deadline)
        await started.next(lambda data: data["job_id"] == job.id)
        (tmp_path / "enough").touch()
        process.terminate()
        await lost.next(lambda data: data["job_id"] == job.id)
        forced = await client.start_worker(WorkerStart(labels={"zone": zone}, slots=1))

    done = await expect.succeeds(client, job.id)
    outcomes = [(one.status, one.reason) for one in done.tasks[0].executions]
    assert outcomes == [(ExecutionStatus.LOST, Reason.WORKER_STOPPED)] * 3 + [(ExecutionStatus.SUCCEEDED, None)]
    await client.stop_worker(forced.id, force=True)


async def test_workers_that_were_stopped_by_force_use_up_no_crash(
    client: Client, own_platform: Platform, tmp_path: Path
) -> None:
    zone = unique("zone")
    job = await client.submit(
        command_job(f"test -e {tmp_path}/enough || sleep 120", requires={"zone": zone}, max_crashes=0)
    )
    async with feed(own_platform, "executions.*.started") as started:
        for round in range(4):
            forced = await client.start_worker(WorkerStart(labels={"zone": zone}, slots=1))
            await started.next(lambda data: data["job_id"] == job.id)
            if round == 2:
                (tmp_path / "enough").touch()
            if round < 3:
                await client.stop_worker(forced.id, force=True)

    done = await expect.succeeds(client, job.id)
    assert [one.reason for one in done.tasks[0].executions] == [Reason.WORKER_STOPPED] * 3 + [None]
    await client.stop_worker(forced.id, force=True)


async def test_a_pipeline_whose_time_is_over_says_what_it_waited_for(client: Client) -> None:
    nowhere = unique("nowhere")
    made = await client.create_pipeline(pipeline(step("build", "true", requires={"x": nowhere}), timeout=1))
    job = await client.submit(JobCreate(pipeline_id=made.id))

    done = await expect.fails(client, job.id)

    assert done.reason is Reason.JOB_TIMEOUT
    before, _, after = (done.detail or "").partition(" s for ")
    assert before.startswith("nothing began: step build waited ")
    assert after == f"a worker with labels x={nowhere}"
    [failed] = [event for event in await client.events(job.id) if event.type == "jobs.failed"]
    assert failed.data["detail"] == done.detail
