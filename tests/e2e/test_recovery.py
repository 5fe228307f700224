"""What dies is noticed, told, and made good: agents, services, the whole of `hodei up`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hodei.client import Client
from schemas.rest.workers import WorkerStart
from schemas.states import ExecutionStatus, WorkerProcessStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import feed, healthy, is_gone


async def test_a_job_killed_with_its_worker_runs_again(client: Client, own_platform: Platform, tmp_path: Path) -> None:
    kind = unique("mortal")
    first, second = [await client.start_worker(WorkerStart(type=kind, slots=1)) for _ in range(2)]
    command = f"echo up; test -e {tmp_path}/again && exit 0; touch {tmp_path}/again; sleep 600"
    async with feed(own_platform, "executions.*.started") as started:
        job = await client.submit(command_job(command, requires={"type": kind}))
        execution = await started.next(lambda data: data["job_id"] == job.id)
    async for _ in client.follow_logs(job.id):  # its first line: the marker is about to be there
        break
    victim = next(worker for worker in (first, second) if worker.id == execution["worker_id"])
    assert victim.pid is not None

    os.kill(victim.pid, signal.SIGKILL)

    done = await expect.succeeds(client, job.id)
    assert [e.status for e in done.tasks[0].executions] == [ExecutionStatus.LOST, ExecutionStatus.SUCCEEDED]
    assert [e.attempt for e in done.tasks[0].executions] == [1, 2]
    assert (await client.worker(victim.id)).status is WorkerProcessStatus.FAILED
    for worker in (first, second):
        await client.stop_worker(worker.id, force=True)


async def test_a_job_with_retry_on_lost_false_runs_at_most_once(client: Client, own_platform: Platform) -> None:
    kind = unique("mortal")
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    job = await client.submit(command_job("echo up; sleep 600", requires={"type": kind}, retry_on_lost=False))
    async for _ in client.follow_logs(job.id):
        break
    assert worker.pid is not None

    os.kill(worker.pid, signal.SIGKILL)

    done = await expect.fails(client, job.id)
    assert [e.status for e in done.tasks[0].executions] == [ExecutionStatus.LOST]


async def test_a_killed_agent_leaves_no_process_behind(client: Client, own_platform: Platform, tmp_path: Path) -> None:
    kind, pid_file = unique("mortal"), tmp_path / "pid"
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    command = f"setsid sleep 1000 & echo $! > {pid_file}; echo up; sleep 1000"
    job = await client.submit(command_job(command, requires={"type": kind}, retry_on_lost=False))
    async for _ in client.follow_logs(job.id):
        break
    assert worker.pid is not None

    os.kill(worker.pid, signal.SIGKILL)

    await expect.fails(client, job.id)
    assert is_gone(int(pid_file.read_text()))


async def test_a_forced_stop_queues_the_work_again(client: Client, own_platform: Platform, tmp_path: Path) -> None:
    kind = unique("forced")
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    command = f"echo up; test -e {tmp_path}/again && exit 0; touch {tmp_path}/again; sleep 600"
    job = await client.submit(command_job(command, requires={"type": kind}))
    async for _ in client.follow_logs(job.id):
        break

    await client.stop_worker(worker.id, force=True)
    other = await client.start_worker(WorkerStart(type=kind, slots=1))

    done = await expect.succeeds(client, job.id)
    assert done.tasks[0].executions[0].status is ExecutionStatus.LOST
    await client.stop_worker(other.id, force=True)


async def test_a_running_job_outlives_the_three_services(
    client: Client, own_platform: Platform, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    job = await client.submit(command_job(f"echo up; while ! test -e {go}; do sleep 0.05; done; echo done"))
    async for _ in client.follow_logs(job.id):
        break

    for service in ("orchestrator", "scheduler", "worker_manager"):
        for pid in own_platform.pids(service):
            os.kill(pid, signal.SIGKILL)
    go.touch()
    await healthy(client)

    done = await expect.succeeds(client, job.id, within=60)
    assert len(done.tasks[0].executions) == 1
    assert await expect.output(client, job.id) == ["up", "done"]


async def test_the_worker_of_the_platform_is_replaced_when_it_is_killed(client: Client, own_platform: Platform) -> None:
    job = await client.submit(command_job("echo here"))
    first = (await expect.succeeds(client, job.id)).tasks[0].executions[0].worker_id
    assert first is not None
    pid = (await client.worker(first)).pid
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    job = await client.submit(command_job("echo back"))
    done = await expect.succeeds(client, job.id)
    assert done.tasks[0].executions[-1].worker_id != first
    assert (await client.worker(first)).status is WorkerProcessStatus.FAILED
