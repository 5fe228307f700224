"""Assertions that say what was expected of a job, and show its whole life when it was not so."""

from __future__ import annotations

from itertools import pairwise

from hodei.client import Client
from schemas.rest.jobs import JobDetail
from schemas.states import JobStatus, TaskStatus


async def ends(client: Client, job_id: str, status: JobStatus, *, within: float = 30.0) -> JobDetail:
    """Wait for a job to be over and assert how it ended; returns it with tasks and executions."""
    await client.wait(job_id, timeout=within)
    job = await client.job(job_id)
    if job.status is not status:
        timeline = "\n".join(f"  {e.time:%H:%M:%S.%f} {e.type} {e.data}" for e in await client.events(job_id))
        raise AssertionError(f"job {job_id} is {job.status.value}, not {status.value}; its life:\n{timeline}")
    return job


async def succeeds(client: Client, job_id: str, *, within: float = 30.0) -> JobDetail:
    """The job ends well."""
    return await ends(client, job_id, JobStatus.SUCCEEDED, within=within)


async def fails(client: Client, job_id: str, *, within: float = 30.0) -> JobDetail:
    """The job ends badly."""
    return await ends(client, job_id, JobStatus.FAILED, within=within)


def statuses(job: JobDetail) -> dict[str, TaskStatus]:
    """Each task's state by its name."""
    return {task.name: task.status for task in job.tasks}


def ran_in_order(job: JobDetail, *names: str) -> None:
    """Each named task started only after the one before it had finished."""
    tasks = {task.name: task for task in job.tasks}
    for earlier, later in pairwise(names):
        before, after = tasks[earlier].finished_at, tasks[later].started_at
        assert before is not None, f"{earlier} did not finish"
        assert after is not None, f"{later} did not start"
        assert before <= after, f"{later} started at {after}, before {earlier} finished at {before}"


async def output(client: Client, job_id: str) -> list[str]:
    """What a job wrote, line by line."""
    return [line.message for line in (await client.logs(job_id)).logs]
