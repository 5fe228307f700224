"""One trace for a job, from the request that submits it to the last write, across five processes and the bus."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from hodei.client import Client
from schemas.rest.executions import ExecuteRequest
from schemas.rest.jobs import JobCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import WorkerStart
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.http import checked_client
from tests.e2e.framework.otlp import Collector, Span, Trace, collector
from tests.e2e.framework.platform import Platform, running_platform
from tests.e2e.framework.waiting import feed, healthy
from tests.fixtures.servers import Backend

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"

ATTEMPT = {"attempt": 1, "place": 1, "hand over": 1, "execute": 1, "process": 1, "record outcome": 1}
SINGLE = {"POST /api/v1/jobs": 1, "job": 1, **ATTEMPT}

PARENTS = {
    "job": "POST /api/v1/jobs",
    "attempt": "job",
    "place": "attempt",
    "lose": "attempt",
    "hand over": "attempt",
    "execute": "attempt",
    "process": "execute",
    "record outcome": "attempt",
}
OUTLASTING = {"place", "hand over"}
"""Their ends are noted after what they did has become known: others may have gone on with it by then."""
WRITERS = {
    "POST /api/v1/jobs": ("hodei-orchestrator", "SERVER"),
    "job": ("hodei-orchestrator", "INTERNAL"),
    "attempt": ("hodei-orchestrator", "INTERNAL"),
    "place": ("hodei-scheduler", "CONSUMER"),
    "lose": ("hodei-scheduler", "INTERNAL"),
    "hand over": ("hodei-worker_manager", "CONSUMER"),
    "execute": ("hodei-agent", "CONSUMER"),
    "process": ("hodei-agent", "INTERNAL"),
    "record outcome": ("hodei-orchestrator", "CONSUMER"),
}


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    spans: Collector, config: E2EConfig, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """A platform that records every trace."""
    if config.external:
        pytest.skip("needs a platform that the tests started themselves")
    folder = tmp_path_factory.mktemp("traced")
    variables = {"HODEI_OTLP_ENDPOINT": spans.url, "HODEI_TRACE_SAMPLE": "1"}
    async with running_platform(config, folder, backend, **variables) as running:
        yield running


@pytest.fixture
async def client(platform: Platform, config: E2EConfig) -> AsyncIterator[Client]:
    async with checked_client(platform.urls, platform.checks, timeout=config.timeout) as client:
        yield client


async def submit(platform: Platform, job: JobCreate, **headers: str) -> dict[str, Any]:
    """Submit with headers of our own."""
    body = job.model_dump_json(exclude_unset=True)
    url = platform.urls["orchestrator"] + "/api/v1/jobs"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        answer.raise_for_status()
        made: dict[str, Any] = await answer.json()
        return made


def well_formed(trace: Trace, job_id: str, *, parents: dict[str, str] | None = None) -> None:
    """Names, parents, writers and ids are as documented, and what happens within something lies within its time."""
    for span in trace.spans:
        if span.name not in WRITERS:
            continue
        assert (span.service, span.kind) == WRITERS[span.name], span
        above = trace.parent(span)
        expected = {**PARENTS, **(parents or {})}.get(span.name)
        assert (above.name if above else None) == expected, f"{span.name} stands below {above}:\n{trace}"
        if span.name.startswith("POST"):
            continue
        assert span.attributes["hodei.job_id"] == job_id
        if above is not None and span.name != "job":  # a job outlives the request that submitted it
            lies = span.begins_within(above) if span.name in OUTLASTING else span.within(above)
            assert lies, f"{span} is not within {above}"
        if span.name != "job":
            same = trace.one(
                "attempt", task_id=span.attributes["hodei.task_id"], attempt=span.attributes["hodei.attempt"]
            )
            known = same.attributes.get("hodei.execution_id", span.attributes.get("hodei.execution_id"))
            assert span.attributes.get("hodei.execution_id", known) == known
    ids = [span.span_id for span in trace.spans]
    assert len(set(ids)) == len(ids)


def in_turn(*spans: Span) -> None:
    """Each began no earlier than the one before."""
    starts = [span.start for span in spans]
    assert starts == sorted(starts), [(span.name, span.start) for span in spans]


async def test_a_job_is_one_trace_from_the_request_to_the_last_write(
    client: Client, platform: Platform, spans: Collector
) -> None:
    job = await submit(
        platform,
        command_job('echo "$TRACEPARENT"; echo "$TRACESTATE"', priority="high"),
        traceparent=f"00-{TRACE}-{CALLER}-01",
        tracestate="vendor=value",
    )
    done = await expect.succeeds(client, job["id"])

    trace = await spans.job(job["id"], spans=SINGLE)
    assert dict(trace.names) == SINGLE
    well_formed(trace, job["id"])
    request, process = trace.one("POST /api/v1/jobs"), trace.one("process")
    assert (request.trace_id, request.parent_id) == (TRACE, CALLER)
    assert request.attributes["http.response.status_code"] == 201
    assert await expect.output(client, job["id"]) == [f"00-{TRACE}-{process.span_id}-01", "vendor=value"]

    execution = done.tasks[0].executions[0]
    for name in ATTEMPT:
        span = trace.one(name)
        assert span.attributes["hodei.execution_id"] == execution.id
        assert span.attributes["hodei.worker_id"] == execution.worker_id
        assert span.attributes["hodei.task_id"] == done.tasks[0].id
        assert span.attributes["hodei.attempt"] == 1
        assert span.error is None
    for name in ("job", "attempt", "execute", "process", "record outcome"):
        assert trace.one(name).attributes["hodei.outcome"] == "succeeded"
    assert process.attributes["hodei.exit_code"] == 0
    assert process.attributes["hodei.log_lines"] == 2
    assert trace.one("execute").events == ("started",)
    assert trace.one("job").attributes["hodei.priority"] == "high"
    waited = trace.one("place").attributes["hodei.queue_wait_seconds"]
    assert isinstance(waited, float)
    assert 0 <= waited < 30
    in_turn(request, trace.one("job"), trace.one("place"), trace.one("hand over"), process, trace.one("record outcome"))


async def test_a_request_without_a_trace_begins_one(client: Client, spans: Collector) -> None:
    job = await client.submit(command_job("exit 3"))
    await expect.fails(client, job.id)

    trace = await spans.job(job.id, spans=SINGLE)
    assert dict(trace.names) == SINGLE
    well_formed(trace, job.id)
    assert trace.one("POST /api/v1/jobs").parent_id == ""
    for name in ("job", "attempt", "execute", "process"):
        assert trace.one(name).error == "exit_code", name
        assert trace.one(name).attributes["hodei.reason"] == "exit_code"
    assert trace.one("attempt").attributes["hodei.exit_code"] == 3
    assert trace.one("process").attributes["hodei.exit_code"] == 3


async def test_the_steps_of_a_pipeline_are_attempts_of_one_job(client: Client, spans: Collector) -> None:
    made = await client.create_pipeline(
        pipeline(step("one"), step("two", "true", "one"), step("three", "exit 1", "two", allow_failure=True))
    )
    job = await client.submit(JobCreate(pipeline_id=made.id))
    await expect.succeeds(client, job.id)

    wanted = {**SINGLE, **dict.fromkeys(ATTEMPT, 3)}
    trace = await spans.job(job.id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job.id)
    assert trace.one("job").attributes["hodei.pipeline_id"] == made.id
    assert trace.one("job").error is None
    steps = [trace.one("attempt", task_name=name) for name in ("one", "two", "three")]
    assert [step.error for step in steps] == [None, None, "exit_code"]
    for earlier, later in ((steps[0], steps[1]), (steps[1], steps[2])):
        assert earlier.start < later.start
        assert later.start <= earlier.end  # the same transaction records the one and queues the other


async def test_a_retry_is_a_second_attempt_in_the_same_trace(client: Client, spans: Collector, tmp_path: Path) -> None:
    mark = tmp_path / "again"
    job = await client.submit(
        command_job(
            f"test -e {mark} || {{ touch {mark}; exit 7; }}", retry={"max_attempts": 2, "delay": 0.3, "jitter": False}
        )
    )
    await expect.succeeds(client, job.id)

    wanted = {**SINGLE, **dict.fromkeys(ATTEMPT, 2)}
    trace = await spans.job(job.id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job.id)
    first, second = trace.one("attempt", attempt=1), trace.one("attempt", attempt=2)
    assert (first.error, first.attributes["hodei.exit_code"]) == ("exit_code", 7)
    assert (second.error, second.attributes["hodei.outcome"]) == (None, "succeeded")
    assert trace.one("job").error is None
    delay = trace.one("place", attempt=2).start - second.start
    assert delay >= 250_000_000  # the delay is no wait for a place


async def test_a_job_lost_with_its_worker_goes_on_in_the_same_trace(
    client: Client, platform: Platform, spans: Collector, tmp_path: Path
) -> None:
    kind, mark = unique("mortal"), tmp_path / "again"
    workers = [await client.start_worker(WorkerStart(type=kind, slots=1)) for _ in range(2)]
    command = f"test -e {mark} && exit 0; touch {mark}; echo up; sleep 600"
    job = await client.submit(command_job(command, requires={"type": kind}))
    async for _ in client.follow_logs(job.id):
        break
    victim = (await client.job(job.id)).tasks[0].executions[0].worker_id
    pid = next(worker.pid for worker in workers if worker.id == victim)
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    await expect.succeeds(client, job.id)

    wanted = {**SINGLE, **dict.fromkeys(ATTEMPT, 2), "execute": 1, "process": 1, "lose": 1}
    trace = await spans.job(job.id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job.id)
    first, second = trace.one("attempt", attempt=1), trace.one("attempt", attempt=2)
    assert (first.error, first.attributes["hodei.outcome"], first.attributes["hodei.worker_id"]) == (
        "lost",
        "lost",
        victim,
    )
    assert trace.one("lose", attempt=1).error == "lost"
    assert second.error is None
    assert trace.one("execute").attributes["hodei.attempt"] == 2
    assert second.attributes["hodei.worker_id"] != victim
    for worker in workers:
        await client.stop_worker(worker.id, force=True)


async def test_a_scheduled_job_belongs_to_the_trace_of_its_schedule(
    client: Client, platform: Platform, spans: Collector
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    async with feed(platform, "schedules.*.fired") as fired:
        made = await client.schedule(ScheduleCreate(command="true", run_at=due))
        job_id = (await fired.next(lambda data: data["schedule_id"] == made.id))["job_id"]

    wanted = {"POST /api/v1/schedule": 1, "confirm schedule": 1, "fire": 1, "make job": 1, "job": 1, **ATTEMPT}
    trace = await spans.job(job_id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job_id, parents={"job": "make job"})
    request, fire, make = trace.one("POST /api/v1/schedule"), trace.one("fire"), trace.one("make job")
    assert (request.service, request.kind, request.parent_id) == ("hodei-scheduler", "SERVER", "")
    assert (fire.service, fire.kind, fire.parent_id) == ("hodei-scheduler", "PRODUCER", request.span_id)
    assert (make.service, make.kind, make.parent_id) == ("hodei-orchestrator", "CONSUMER", fire.span_id)
    in_turn(request, fire, make, trace.one("job"))


async def test_a_direct_execution_belongs_to_the_trace_of_its_request(client: Client, spans: Collector) -> None:
    execution = await client.execute(ExecuteRequest(command="true"))

    wanted = {"POST /api/v1/execute": 1, "make job": 1, "job": 1, **ATTEMPT}
    trace = await spans.job(execution.job_id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, execution.job_id, parents={"job": "make job"})
    assert trace.one("make job").parent_id == trace.one("POST /api/v1/execute").span_id
    assert trace.one("process").attributes["hodei.execution_id"] == execution.id


async def test_a_trace_survives_the_death_of_the_bus_and_of_the_services(
    client: Client, platform: Platform, spans: Collector, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    made = await client.create_pipeline(
        pipeline(step("one", f"echo up; while ! test -e {go}; do sleep 0.05; done"), step("two", "true", "one"))
    )
    job = await client.submit(JobCreate(pipeline_id=made.id))
    async for _ in client.follow_logs(job.id):
        break
    placed = {"POST /api/v1/jobs": 1, "place": 1, "hand over": 1}
    await spans.job(job.id, spans=placed)  # what the services have done so far is with the collector

    await platform.kill_nats()
    for service in ("orchestrator", "scheduler"):
        for pid in platform.pids(service):
            os.kill(pid, signal.SIGKILL)
    go.touch()
    await healthy(client)
    await expect.succeeds(client, job.id, within=60)

    wanted = {**SINGLE, **dict.fromkeys(ATTEMPT, 2)}
    trace = await spans.job(job.id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job.id)


async def test_a_trace_that_is_not_sampled_is_passed_on_and_not_written(
    client: Client, platform: Platform, spans: Collector
) -> None:
    unwanted = "11111111111111111111111111111111"
    job = await submit(platform, command_job('echo "$TRACEPARENT"'), traceparent=f"00-{unwanted}-{CALLER}-00")
    await expect.succeeds(client, job["id"])
    [told] = await expect.output(client, job["id"])
    assert told.startswith(f"00-{unwanted}-")
    assert told.endswith("-00")

    later = await client.submit(command_job("true"))  # exported in the same order by the same processes
    await spans.job(later.id, spans=SINGLE)
    assert not spans.trace(unwanted).spans


async def test_jobs_that_share_batches_have_traces_of_their_own(
    client: Client, platform: Platform, spans: Collector
) -> None:
    def trace_of(number: int) -> str:
        return f"{0xFEED0000 + number:032x}"

    async def one(number: int) -> dict[str, Any]:
        flags = "01" if number % 2 else "00"
        return await submit(platform, command_job("true"), traceparent=f"00-{trace_of(number)}-{CALLER}-{flags}")

    jobs = await asyncio.gather(*(one(number) for number in range(100)))
    for job in jobs:
        await expect.succeeds(client, job["id"])

    for number, job in enumerate(jobs):
        if number % 2:
            trace = await spans.job(job["id"], spans=SINGLE)
            assert dict(trace.names) == SINGLE
            assert {span.trace_id for span in trace.spans} == {trace_of(number)}
            well_formed(trace, job["id"])
        else:
            assert not spans.trace(trace_of(number)).spans


async def test_the_jobs_of_one_request_are_in_its_trace(client: Client, spans: Collector) -> None:
    jobs = await client.submit_many([command_job("true") for _ in range(20)])
    for job in jobs:
        await expect.succeeds(client, job.id)

    wanted = {"POST /api/v1/jobs/batch": 1, **dict.fromkeys(("job", *ATTEMPT), 20)}
    trace = await spans.job(jobs[0].id, spans=wanted)
    assert dict(trace.names) == wanted
    request = trace.one("POST /api/v1/jobs/batch")
    assert {span.attributes["hodei.job_id"] for span in trace.all("job")} == {job.id for job in jobs}
    assert {span.parent_id for span in trace.all("job")} == {request.span_id}


async def test_a_step_may_name_a_trace_of_its_own(client: Client) -> None:
    own = f"00-{'2' * 32}-{'3' * 16}-01"
    job = await client.submit(command_job('echo "$TRACEPARENT"', env={"TRACEPARENT": own}))
    await expect.succeeds(client, job.id)
    assert await expect.output(client, job.id) == [own]


async def test_what_never_finds_a_worker_says_so(client: Client, spans: Collector) -> None:
    job = await client.submit(command_job("true", requires={"type": unique("nobody")}, queue_timeout=0.3))
    await expect.fails(client, job.id)

    wanted = {"POST /api/v1/jobs": 1, "job": 1, "attempt": 1, "place": 1, "record outcome": 1}
    trace = await spans.job(job.id, spans=wanted)
    assert dict(trace.names) == wanted
    well_formed(trace, job.id)
    assert trace.one("place").error == "queue_timeout"
    assert trace.one("attempt").attributes["hodei.outcome"] == "expired"
    assert trace.one("job").error == "queue_timeout"


async def test_a_cancelled_job_has_not_failed(client: Client, spans: Collector) -> None:
    waiting = await client.submit(command_job("true", requires={"type": unique("nobody")}))
    running = await client.submit(command_job("echo up; sleep 600"))
    async for _ in client.follow_logs(running.id):
        break
    for job in (waiting, running):
        await client.cancel(job.id)

    whole = {"POST /api/v1/jobs": 1, "job": 1, "attempt": 1, "place": 1, "record outcome": 1}
    for job, wanted in ((waiting, whole), (running, SINGLE)):
        trace = await spans.job(job.id, spans=wanted)
        assert dict(trace.names) == wanted
        well_formed(trace, job.id)
        assert [span.error for span in trace.spans] == [None] * len(trace.spans)
        assert trace.one("job").attributes["hodei.outcome"] == "cancelled"
        assert trace.one("attempt").attributes["hodei.outcome"] == "cancelled"


async def test_a_problem_and_the_log_name_the_trace(client: Client, platform: Platform) -> None:
    url = platform.urls["orchestrator"] + "/api/v1/jobs/none"
    headers = {"traceparent": f"00-{'4' * 32}-{CALLER}-01", "X-Request-ID": unique("asked")}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == 404
        problem = await answer.json(content_type="application/problem+json")
    assert problem["trace_id"] == "4" * 32
    assert problem["request_id"] == headers["X-Request-ID"]
    assert platform.data_dir is not None
    log = platform.data_dir / "logs" / "orchestrator.log"
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    [told] = [line for line in lines if line.get("request_id") == headers["X-Request-ID"]]
    assert (told["event"], told["trace_id"], told["status"]) == ("http_request", "4" * 32, 404)
