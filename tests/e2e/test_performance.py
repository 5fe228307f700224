"""Load scenarios: everything that went in comes out, each job exactly once. Figures belong to benchmarks/."""

from __future__ import annotations

import asyncio

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.states import JobStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, pipeline, step


async def test_a_thousand_jobs_all_end_well_with_one_execution_each(client: Client) -> None:
    jobs = await client.submit_many([command_job(["/bin/true"]) for _ in range(1000)])

    await asyncio.gather(*(client.wait(job.id, timeout=60) for job in jobs[-20:]))
    ended = await asyncio.gather(*(client.wait(job.id, timeout=60) for job in jobs))

    assert {state.status for state in ended} == {JobStatus.SUCCEEDED}
    details = await asyncio.gather(*(client.job(job.id) for job in jobs))
    assert {job.id: [len(task.executions) for task in job.tasks] for job in details} == {job.id: [1] for job in jobs}


async def test_many_submitters_at_once_are_all_served(client: Client) -> None:
    async def submitter() -> list[str]:
        return [(await client.submit(command_job(["/bin/true"]))).id for _ in range(20)]

    ids = [job for jobs in await asyncio.gather(*(submitter() for _ in range(10))) for job in jobs]

    assert len(set(ids)) == 200
    ended = await asyncio.gather(*(client.wait(job, timeout=60) for job in ids))
    assert {state.status for state in ended} == {JobStatus.SUCCEEDED}


async def test_a_wide_pipeline_fans_out_and_in(client: Client) -> None:
    middle = [step(f"part-{n}", "true", "start") for n in range(100)]
    made = await client.create_pipeline(
        pipeline(step("start"), *middle, step("end", "true", *(s.name for s in middle)))
    )

    job = await client.submit(JobCreate(pipeline_id=made.id))

    done = await expect.succeeds(client, job.id, within=60)
    assert len(done.tasks) == 102
    expect.ran_in_order(done, "start", "part-50", "end")


async def test_ten_thousand_lines_of_output_arrive_whole_and_in_order(client: Client) -> None:
    job = await client.submit(command_job("seq 10000"))

    await expect.succeeds(client, job.id)

    assert await expect.output(client, job.id) == [str(n) for n in range(1, 10_001)]
