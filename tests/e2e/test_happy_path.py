"""The platform does what it is for: commands and pipelines run, and what happened can be read afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from hodei.client import ApiError, Client
from schemas.rest.executions import ExecuteRequest
from schemas.rest.jobs import JobCreate, JobDetail
from schemas.rest.schedules import Explanation, ScheduleCreate
from schemas.rest.workers import WorkerStart
from schemas.specs import Capacity
from schemas.states import (
    ExecutionStatus,
    JobStatus,
    Reason,
    ScheduleStatus,
    TaskStatus,
    WorkerProcessStatus,
    WorkerStatus,
)
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, diamond, pipeline, step, unique
from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually, feed

T = TypeVar("T")


@pytest.mark.smoke
async def test_a_command_runs_and_its_output_is_kept(client: Client) -> None:
    job = await client.submit(command_job("echo out; echo err >&2"))

    done = await expect.succeeds(client, job.id)

    assert [e.status for e in done.tasks[0].executions] == [ExecutionStatus.SUCCEEDED]
    assert done.tasks[0].exit_code == 0
    assert sorted((line.stream, line.message) for line in (await client.logs(job.id)).logs) == [
        ("stderr", "err"),
        ("stdout", "out"),
    ]


async def test_a_trace_from_outside_reaches_the_process_of_a_platform_that_writes_none(
    client: Client, http: Callable[[str], RawHttp]
) -> None:
    headers = {"traceparent": f"00-{'5' * 32}-{'6' * 16}-01", "tracestate": "vendor=value"}
    retried = {"command": 'echo "$TRACEPARENT $TRACESTATE"; exit 1', "retry": {"max_attempts": 2, "delay": 0}}
    answer = await http("orchestrator")("POST", "/api/v1/jobs", json=retried, headers=headers)
    job = JobDetail.model_validate(answer.json())

    await expect.fails(client, job.id)

    assert await expect.output(client, job.id) == [f"{headers['traceparent']} vendor=value"] * 2


@pytest.mark.smoke
async def test_a_pipeline_runs_in_the_order_of_its_dependencies(client: Client) -> None:
    made = await client.create_pipeline(diamond())

    done = await expect.succeeds(client, (await client.submit(JobCreate(pipeline_id=made.id))).id)

    expect.ran_in_order(done, "top", "left", "bottom")
    expect.ran_in_order(done, "top", "right", "bottom")


async def test_a_pipeline_without_steps_succeeds_at_once(client: Client) -> None:
    made = await client.create_pipeline(pipeline())

    job = await client.submit(JobCreate(pipeline_id=made.id))

    assert (await expect.succeeds(client, job.id)).tasks == []


async def test_environment_and_parameters_reach_the_command(client: Client) -> None:
    made = await client.create_pipeline(
        pipeline(
            step("show", 'echo "$A $B $C $HODEI_PARAM_TARGET"', env={"B": "step"}),
            env={"A": "pipeline", "B": "pipeline", "C": "pipeline"},
        )
    )

    job = await client.submit(JobCreate(pipeline_id=made.id, env={"C": "job"}, params={"TARGET": "prod"}))

    await expect.succeeds(client, job.id)
    assert await expect.output(client, job.id) == ["pipeline step job prod"]


async def test_the_outputs_of_a_step_are_shown_and_told_and_a_bad_line_fails_it(
    client: Client, platform: Platform
) -> None:
    writes = 'echo "TAG=v1" >> "$HODEI_OUTPUT"; printf "NOTES<<END\\na\\nb\\nEND\\n" >> "$HODEI_OUTPUT"'
    made = await client.create_pipeline(
        pipeline(step("good", writes), step("bad", 'echo oops >> "$HODEI_OUTPUT"'), step("none", "true"))
    )
    async with feed(platform, "tasks.*.succeeded") as succeeded, feed(platform, "tasks.*.failed") as failed:
        job = await client.submit(JobCreate(pipeline_id=made.id))
        done = await expect.fails(client, job.id)
        events = [await one.next(lambda data: data["job_id"] == job.id) for one in (succeeded, succeeded, failed)]

    outputs = {"TAG": "v1", "NOTES": "a\nb"}
    good, bad, none = done.tasks
    assert (good.outputs, bad.outputs, none.outputs) == (outputs, {}, {})
    told = {event["name"]: event.get("outputs") for event in events}
    assert told == {"good": outputs, "bad": None, "none": None}
    assert (done.reason, bad.reason, bad.exit_code) == (Reason.BAD_OUTPUT, Reason.BAD_OUTPUT, 0)
    assert bad.detail == "line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: oops"


async def test_a_failed_attempt_is_retried(client: Client) -> None:
    job = await client.submit(
        command_job('test "$HODEI_ATTEMPT" = 2 || exit 7', retry={"max_attempts": 3, "delay": 0.05})
    )

    done = await expect.succeeds(client, job.id)
    assert [(e.attempt, e.status.value, e.exit_code) for e in done.tasks[0].executions] == [
        (1, "failed", 7),
        (2, "succeeded", 0),
    ]


async def test_a_batch_is_taken_as_a_whole_and_in_order(client: Client) -> None:
    wanted = [command_job(["/bin/true"]) for _ in range(50)]

    jobs = await client.submit_many(wanted)

    assert [job.name for job in jobs] == [job.name for job in wanted]
    await asyncio.gather(*(expect.succeeds(client, job.id) for job in jobs))


async def test_output_is_followed_live(client: Client) -> None:
    made = await client.create_pipeline(pipeline(step("one", "echo first"), step("two", "echo second", "one")))
    job = await client.submit(JobCreate(pipeline_id=made.id))

    lines = [(line.task, line.message) async for line in client.follow_logs(job.id)]

    assert lines == [("one", "first"), ("two", "second")]


async def test_the_timeline_tells_a_jobs_life_and_resumes_where_one_left(client: Client) -> None:
    job = await client.submit(command_job("true"))

    events = [event async for event in client.follow_events(job.id)]

    types = [event.type for event in events]
    assert types[0] == "jobs.created"
    assert types[-1] == "jobs.succeeded"
    assert {"tasks.queued", "executions.started", "executions.finished", "tasks.succeeded"} <= set(types)
    rest = [event async for event in client.follow_events(job.id, after=events[2].id)]
    assert [event.id for event in rest] == [event.id for event in events[3:]]


async def test_a_running_job_is_cancelled(client: Client) -> None:
    job = await client.submit(command_job("echo started; sleep 60"))
    async for line in client.follow_logs(job.id):
        assert line.message == "started"
        await client.cancel(job.id)
        break

    done = await expect.ends(client, job.id, JobStatus.CANCELLED)

    assert [e.status for e in done.tasks[0].executions] == [ExecutionStatus.CANCELLED]


async def test_a_rerun_from_failed_keeps_what_succeeded(client: Client) -> None:
    # What the second run finds otherwise is a file where the worker is, which may be in a container.
    marker, kind = f"/tmp/{unique('hodei-ready')}", unique("rerun")
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    there = {"type": kind}
    made = await client.create_pipeline(
        pipeline(step("good", "echo good"), step("bad", f"rm {marker}", "good", requires=there))
    )
    job = await client.submit(JobCreate(pipeline_id=made.id))
    await expect.fails(client, job.id)
    await expect.succeeds(client, (await client.submit(command_job(f"touch {marker}", requires=there))).id)

    again = await client.rerun(job.id, start="failed")

    done = await expect.succeeds(client, again.id)
    await client.stop_worker(worker.id, force=True)
    assert done.rerun_of == job.id
    assert expect.statuses(done) == {"good": TaskStatus.SUCCEEDED, "bad": TaskStatus.SUCCEEDED}
    assert [len(task.executions) for task in done.tasks if task.name == "good"] == [0]


async def test_a_schedule_fires_when_it_is_due(client: Client, platform: Platform) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.5)

    async with feed(platform, "jobs.*.created") as created:
        schedule = await client.schedule(ScheduleCreate(command="echo scheduled", run_at=due))
        job = await created.next(lambda data: data.get("schedule_id") == schedule.id)

    assert schedule.status is ScheduleStatus.SCHEDULED
    assert schedule.next_run_at == due
    done = await expect.succeeds(client, job["job_id"])
    assert done.created_at >= due
    assert done.schedule_id == schedule.id


async def test_a_schedule_without_a_time_runs_a_job_again_now(client: Client, platform: Platform) -> None:
    job = await client.submit(command_job("echo again"))
    await expect.succeeds(client, job.id)

    async with feed(platform, "jobs.*.created") as created:
        schedule = await client.schedule(ScheduleCreate(job_id=job.id))
        again = await created.next(lambda data: data.get("schedule_id") == schedule.id)

    await expect.succeeds(client, again["job_id"])
    assert await expect.output(client, again["job_id"]) == ["again"]


async def test_a_direct_execution_runs_on_a_worker(client: Client, platform: Platform) -> None:
    async with feed(platform, "jobs.*.succeeded") as succeeded:
        execution = await client.execute(ExecuteRequest(command="echo direct"))
        await succeeded.next(lambda data: data["job_id"] == execution.job_id)

    done = await client.execution(execution.id)
    assert (done.task_id, done.job_id, done.attempt) == (execution.task_id, execution.job_id, 1)
    logs = await client.execution_logs(execution.id)
    assert [line.message for line in logs.logs] == ["direct"]


async def test_a_worker_of_another_type_is_started_used_and_drained(client: Client, platform: Platform) -> None:
    kind = unique("type")
    worker = await client.start_worker(WorkerStart(type=kind, slots=2, labels={"zone": "north"}))
    assert worker.status is WorkerProcessStatus.RUNNING

    job = await client.submit(command_job("echo there", requires={"type": kind, "zone": "north"}))
    done = await expect.succeeds(client, job.id)

    assert [e.worker_id for e in done.tasks[0].executions] == [worker.id]
    assert (await client.registered_worker(worker.id)).status is WorkerStatus.ONLINE
    async with feed(platform, f"workers.{worker.id}.stopped") as stopped:
        stopping = await client.stop_worker(worker.id)
        assert stopping.status in (WorkerProcessStatus.DRAINING, WorkerProcessStatus.STOPPED)
        assert (await stopped.next())["clean"] is True
    assert (await client.worker(worker.id)).status is WorkerProcessStatus.STOPPED


async def test_a_busy_worker_that_is_told_to_stop_is_seen_draining(client: Client, platform: Platform) -> None:
    kind = unique("busy")
    worker = await client.start_worker(WorkerStart(type=kind))
    job = await client.submit(command_job("echo up; sleep 600", requires={"type": kind}))
    async for _ in client.follow_logs(job.id):
        break
    async with feed(platform, f"workers.{worker.id}.draining") as draining:
        await client.stop_worker(worker.id)
        assert (await draining.next())["worker_id"] == worker.id
    assert (await client.registered_worker(worker.id)).status is WorkerStatus.DRAINING
    await client.cancel(job.id)
    await expect.ends(client, job.id, JobStatus.CANCELLED)


async def test_a_task_that_no_worker_fits_waits_and_says_why(client: Client) -> None:
    job = await client.submit(command_job("true", requires={"type": unique("nowhere")}))
    task = (await client.job(job.id)).tasks[0]

    explanation = await eventually(lambda: _in_the_queue(client, task.id))

    assert explanation.position is not None
    assert all(not verdict.fits and verdict.refusal for verdict in explanation.workers)
    assert task.id in [queued.task_id async for queued in client.queue(job_id=job.id)]
    await client.cancel(job.id)
    await expect.ends(client, job.id, JobStatus.CANCELLED)


async def test_a_job_that_needs_a_gpu_waits_for_a_worker_that_has_one(client: Client) -> None:
    kind = unique("calculator")
    plain = await client.start_worker(WorkerStart(type=kind))
    known = await eventually(lambda: _if_there(client.registered_worker(plain.id)))
    assert known.capacity is not None
    assert (known.capacity.cpu_m > 0, known.capacity.memory_mb > 0, known.capacity.gpu) == (True, True, 0)
    job = await client.submit(command_job("true", requires={"type": kind}, resources={"gpu": 1}))
    task = (await client.job(job.id)).tasks[0]
    explanation = await eventually(lambda: _in_the_queue(client, task.id))
    refusals = {verdict.worker_id: verdict.refusal for verdict in explanation.workers}
    assert refusals[plain.id] == "has gpu 0 in all, the task needs 1"

    able = await client.start_worker(WorkerStart(type=kind, capacity=Capacity(gpu=1)))

    done = await expect.succeeds(client, job.id)
    assert [execution.worker_id for execution in done.tasks[0].executions] == [able.id]
    for worker in (plain, able):
        await client.stop_worker(worker.id, force=True)


async def test_every_task_of_a_job_can_be_explained_at_any_time(client: Client) -> None:
    nowhere = unique("nowhere")
    steps = [
        step("build", "exit 1"),
        step("slow", "true", requires={"type": nowhere}),
        step("test", "true", depends_on=["slow"]),
        step("deploy", "true", depends_on=["build"]),
    ]
    made = await client.create_pipeline(pipeline(*steps))
    job = await client.submit(JobCreate(pipeline_id=made.id))
    ids = {task.name: task.id for task in job.tasks}

    waits = await client.explain(ids["test"])
    assert (waits.status, waits.summary) == (TaskStatus.PENDING, "waits for step slow, which is queued")
    await eventually(lambda: _in_the_queue(client, ids["slow"]))

    await client.cancel(job.id)
    await expect.ends(client, job.id, JobStatus.CANCELLED)
    told = {name: await client.explain(id) for name, id in ids.items()}
    after = {task.name: task.status for task in (await client.job(job.id)).tasks}
    assert {name: one.status for name, one in told.items()} == after
    assert told["test"].summary == "does not wait: it was cancelled (cancelled)"
    with pytest.raises(ApiError) as refused:
        await client.explain(job.id)  # no task has this id
    assert refused.value.status == 404


async def _in_the_queue(client: Client, task_id: str) -> Explanation | None:
    """Why a task waits, once the scheduler has it; None until then."""
    explanation = await client.explain(task_id)
    return None if explanation.position is None else explanation


async def _if_there(ask: Awaitable[T]) -> T | None:
    """What is asked for, None while there is no such thing: the scheduler hears of tasks and workers by itself."""
    try:
        return await ask
    except ApiError as error:
        if error.status != 404:
            raise
        return None


@pytest.mark.smoke
async def test_the_feed_tells_one_jobs_life(client: Client, platform: Platform) -> None:
    async with feed(platform, "jobs.*.*") as events:
        job = await client.submit(command_job("true"))
        await events.next(lambda data: data["job_id"] == job.id and "finished_at" in data)


async def test_a_step_uses_an_output_of_an_earlier_one_and_no_value_becomes_syntax(client: Client) -> None:
    hostile = "a b; $(touch owned) `id` \"q\" 'q' ${{ params.x }} é"
    writes = 'printf \'TAG=%s\\n\' "$HODEI_PARAM_X" >> "$HODEI_OUTPUT"'
    shows = 'printf "%s\\n" "$V"; test ! -e owned'
    arguments = ["printf", "<%s>\\n", "${{ steps.first.outputs.TAG }}"]
    made = await client.create_pipeline(
        pipeline(
            step("first", writes),
            step("env", shows, "first", env={"V": "${{ steps.first.outputs.TAG }}"}),
            step("argv", arguments, "env"),
            step("exec", arguments, "argv", type="exec"),
        )
    )
    job = await client.submit(JobCreate(pipeline_id=made.id, params={"X": hostile}))

    await expect.succeeds(client, job.id)
    assert await expect.output(client, job.id) == [hostile, f"<{hostile}>", f"<{hostile}>"]
