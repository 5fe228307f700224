"""What is wrong is told clearly, in the same form everywhere, and nothing is half done."""

from __future__ import annotations

import asyncio
import gzip
import time
import uuid
from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest

from hodei.client import ApiError, Client
from schemas.rest.executions import ExecuteRequest
from schemas.rest.jobs import JobCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import WorkerStart
from schemas.states import ExecutionStatus, JobStatus, Reason, TaskStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.http import RawHttp

Http = Callable[[str], RawHttp]
SERVICES = ("orchestrator", "scheduler", "worker_manager")
NOBODY = "018f0000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("orchestrator", "/api/v1/jobs/{id}"),
        ("orchestrator", "/api/v1/jobs/{id}/status"),
        ("orchestrator", "/api/v1/jobs/{id}/events"),
        ("orchestrator", "/api/v1/jobs/{id}/logs"),
        ("orchestrator", "/api/v1/pipelines/{id}"),
        ("scheduler", "/api/v1/scheduled/{id}"),
        ("scheduler", "/api/v1/workers/{id}"),
        ("scheduler", "/api/v1/tasks/{id}/explain"),
        ("worker_manager", "/api/v1/workers/{id}"),
        ("worker_manager", "/api/v1/workers/{id}/status"),
        ("worker_manager", "/api/v1/executions/{id}"),
        ("worker_manager", "/api/v1/executions/{id}/logs"),
    ],
)
@pytest.mark.parametrize("id", [NOBODY, "no-uuid", "%00", "..%2f..%2fetc%2fpasswd"])
async def test_what_does_not_exist_is_404(http: Http, service: str, path: str, id: str) -> None:
    answer = await http(service)("GET", path.format(id=id))

    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("service", SERVICES)
async def test_an_unknown_route_and_a_wrong_method_are_problems(http: Http, service: str) -> None:
    lost = await http(service)("GET", "/api/v1/nowhere")
    wrong = await http(service)("PATCH", "/api/v1/workers" if service != "orchestrator" else "/api/v1/jobs")

    assert (lost.status, wrong.status) == (404, 405)
    assert {"GET", "POST"} <= {method.strip() for method in wrong.headers["Allow"].split(",")}
    problem = lost.json()
    assert isinstance(problem, dict)
    assert problem["status"] == 404
    assert problem["instance"] == "/api/v1/nowhere"
    assert problem["request_id"] == lost.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("orchestrator", "/api/v1/jobs"),
        ("orchestrator", f"/api/v1/jobs/{NOBODY}/cancel"),
        ("scheduler", "/api/v1/schedule"),
        ("worker_manager", "/api/v1/execute"),
    ],
)
async def test_a_body_whose_compression_is_broken_is_400_everywhere(http: Http, service: str, path: str) -> None:
    whole = gzip.compress(b'{"command": "true"}')
    for raw, says in ((whole[:-8], "incomplete"), (whole[:-8] + bytes(8), "damaged"), (whole + b"more", "damaged")):
        answer = await http(service)("POST", path, data=raw, headers={"Content-Encoding": "gzip"})
        assert answer.status == 400, answer.body
        assert says in answer.body.decode()
    unknown = await http(service)("POST", path, data=whole, headers={"Content-Encoding": "br"})
    assert (unknown.status, unknown.headers["Accept-Encoding"]) == (415, "gzip, deflate")
    bomb = await http(service)(
        "POST", path, data=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}
    )
    assert bomb.status == 413


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("{", 400, "JSON"),
        ("", 422, "exactly one of"),
        ("[]", 422, ""),
        ("{}", 422, "exactly one of"),
        ('{"command":"true","pipeline_id":"x"}', 422, "exactly one of"),
        ('{"comand":"true"}', 422, "command"),
        ('{"command":""}', 422, "command"),
        ('{"command":"true","timeout":-1}', 422, "timeout"),
        ('{"command":"true","timeout":"soon"}', 422, "timeout"),
        ('{"command":"true","priority":"urgent"}', 422, "critical"),
        ('{"command":"a\\u0000b"}', 422, "NUL"),
        ('{"command":"true","name":"a\\u0000b"}', 422, ""),
        ('{"command":"true","concurrency_key":""}', 422, "concurrency_key"),
        (f'{{"command":"true","concurrency_key":"{"k" * 10_000}"}}', 422, "concurrency_key"),
        ('{"command":"true","concurrency_key":"${{ params.X }}"}', 422, "concurrency_key"),
        (f'{{"pipeline_id":"{NOBODY}"}}', 404, "pipeline"),
        ('{"pipeline_id":"no-uuid"}', 404, "pipeline"),
    ],
)
async def test_a_bad_job_is_refused_with_the_reason(http: Http, body: str, status: int, says: str) -> None:
    answer = await http("orchestrator")("POST", "/api/v1/jobs", data=body)

    assert answer.status == status, answer.body
    assert says in answer.body.decode()


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ([{"name": "a", "command": "true", "depends_on": ["b"]}, {"name": "b", "command": "true", "depends_on": ["a"]}],
         ["a", "b"]),
        ([{"name": "a", "command": "true", "depends_on": ["ghost"]}], ["ghost"]),
        ([{"name": "a", "command": "true"}, {"name": "a", "command": "false"}], ["a"]),
        ([{"name": "self", "command": "true", "depends_on": ["self"]}], ["self"]),
        ([{"name": "a", "command": "true", "when": "always"}], ["when: always needs depends_on", "'a'"]),
    ],
)  # fmt: skip
async def test_a_bad_graph_is_refused_naming_the_steps(http: Http, steps: list[object], names: list[str]) -> None:
    answer = await http("orchestrator")("POST", "/api/v1/pipelines", json={"name": "bad", "steps": steps})

    assert answer.status == 422
    assert all(name in answer.body.decode() for name in names)


async def test_a_body_over_the_limit_is_413(http: Http) -> None:
    answer = await http("orchestrator")(
        "POST", "/api/v1/jobs", data=BytesIO(b'{"command":"' + b"x" * (2 << 20) + b'"}')
    )

    assert answer.status == 413


async def test_a_batch_with_one_bad_job_takes_none(client: Client, http: Http) -> None:
    name = unique("none")
    good = {"command": "true", "name": name}

    answer = await http("orchestrator")("POST", "/api/v1/jobs/batch", json=[good, good, {"command": ""}])

    assert answer.status == 422
    assert "2" in answer.body.decode()
    assert [job async for job in client.jobs(name=name)] == []


async def test_the_same_key_submits_once(http: Http) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}

    first = await http("orchestrator")("POST", "/api/v1/jobs", json={"command": "true"}, headers=key)
    again = await http("orchestrator")("POST", "/api/v1/jobs", json={"command": "true"}, headers=key)
    other = await http("orchestrator")("POST", "/api/v1/jobs", json={"command": "false"}, headers=key)

    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers


async def test_the_same_key_at_the_same_time_submits_once(client: Client, http: Http) -> None:
    name, key = unique("once"), {"Idempotency-Key": str(uuid.uuid4())}

    answers = await asyncio.gather(
        *(
            http("orchestrator")("POST", "/api/v1/jobs", json={"command": "true", "name": name}, headers=key)
            for _ in range(20)
        )
    )

    assert {answer.status for answer in answers} == {201}
    assert len([job async for job in client.jobs(name=name)]) == 1


async def test_a_failed_step_fails_the_job_and_skips_what_depended_on_it(client: Client) -> None:
    made = await client.create_pipeline(
        pipeline(step("bad", "exit 3"), step("after", "true", "bad"), step("last", "true", "after"), step("apart"))
    )

    done = await expect.fails(client, (await client.submit(JobCreate(pipeline_id=made.id))).id)

    assert expect.statuses(done) == {
        "bad": TaskStatus.FAILED,
        "after": TaskStatus.SKIPPED,
        "last": TaskStatus.SKIPPED,
        "apart": TaskStatus.SUCCEEDED,
    }
    by_name = {task.name: task for task in done.tasks}
    assert (by_name["bad"].reason, by_name["bad"].exit_code) == (Reason.EXIT_CODE, 3)
    assert by_name["last"].reason is Reason.DEPENDENCY_FAILED


async def test_a_timeout_ends_the_whole_process_tree(client: Client) -> None:
    kind = unique("tree")
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    command = "trap '' TERM; (setsid sleep 1000 >/dev/null & echo $!); sleep 1000"

    started = time.monotonic()
    job = await client.submit(command_job(command, timeout=0.5, requires={"type": kind}))
    done = await expect.fails(client, job.id)

    assert [e.status for e in done.tasks[0].executions] == [ExecutionStatus.TIMED_OUT]
    assert done.tasks[0].reason is Reason.TIMEOUT
    assert time.monotonic() - started < 25
    # The worker may be in a container, where a pid means something else: it looks itself. A zombie is gone.
    (pid,) = await expect.output(client, job.id)
    look = command_job(f"! grep -qs '^State:.[RSDT]' /proc/{pid}/status", requires={"type": kind})
    await expect.succeeds(client, (await client.submit(look)).id)
    await client.stop_worker(worker.id, force=True)


async def test_a_program_that_does_not_exist_fails_with_words(client: Client) -> None:
    job = await client.submit(command_job(["/no/such/program"]))

    done = await expect.fails(client, job.id)

    execution = done.tasks[0].executions[0]
    assert execution.reason is Reason.START_FAILED
    assert "/no/such/program" in (execution.detail or "")


async def test_a_task_that_waits_too_long_fails(client: Client) -> None:
    job = await client.submit(command_job("true", requires={"type": unique("nowhere")}, queue_timeout=0.3))

    done = await expect.fails(client, job.id)

    assert done.tasks[0].reason is Reason.QUEUE_TIMEOUT
    assert done.tasks[0].executions == []


async def test_what_is_over_cannot_be_cancelled_and_what_runs_cannot_be_deleted(client: Client) -> None:
    job = await client.submit(command_job("echo up; sleep 30"))
    async for _ in client.follow_logs(job.id):
        break
    with pytest.raises(ApiError) as running:
        await client.delete_job(job.id)
    await client.cancel(job.id)
    await expect.ends(client, job.id, JobStatus.CANCELLED)
    with pytest.raises(ApiError) as over:
        await client.cancel(job.id)
    await client.delete_job(job.id)
    with pytest.raises(ApiError) as gone:
        await client.job(job.id)

    assert (running.value.status, over.value.status, gone.value.status) == (409, 409, 404)


async def test_an_archived_pipeline_is_gone_and_its_jobs_stay_but_do_not_run_again(client: Client) -> None:
    made = await client.create_pipeline(pipeline(step("one")))
    job = await client.submit(JobCreate(pipeline_id=made.id))
    await expect.succeeds(client, job.id)

    await client.archive_pipeline(made.id)

    assert made.id not in [each.id async for each in client.pipelines(name=made.name)]
    with pytest.raises(ApiError) as refused:
        await client.submit(JobCreate(pipeline_id=made.id))
    assert refused.value.status == 404
    assert (await client.job(job.id)).status is JobStatus.SUCCEEDED
    again: list[Awaitable[object]] = [
        client.rerun(job.id),
        client.schedule(ScheduleCreate(job_id=job.id)),
        client.execute(ExecuteRequest(job_id=job.id)),
    ]
    for asked in again:
        with pytest.raises(ApiError, match="is archived") as conflict:
            await asked
        assert conflict.value.status == 409


async def test_schedules_and_executions_of_what_does_not_exist_are_404(http: Http) -> None:
    for body in ({"job_id": NOBODY}, {"pipeline_id": NOBODY}, {"job_id": "no-uuid"}):
        answer = await http("scheduler")("POST", "/api/v1/schedule", json=body)
        assert answer.status == 404, answer.body
    answer = await http("worker_manager")("POST", "/api/v1/execute", json={"job_id": NOBODY})
    assert answer.status == 404, answer.body


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("timezone", {"cron": "0 3 * * *", "timezone": "Europe/Madird"}),
        ("cron", {"cron": "0 0 3 * * *"}),
        ("cron", {"cron": "0 0 30 2 *"}),
        ("cron", {"cron": "61 * * * *"}),
        ("cron", {"cron": "@reboot"}),
        ("end", {"every": 60, "start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}),
        ("overlap", {"run_at": "2030-01-01T00:00:00Z", "overlap": "skip"}),
        ("catch_up_limit", {"every": 60, "catch_up": "all", "catch_up_limit": 10**9}),
        ("concurrency_key", {"every": 60, "concurrency_key": "k" * 10_000}),
        ("concurrency_key", {"every": 60, "concurrency_key": "a-${{ params.q }}"}),
        ("every", {"every": 0.5}),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused_by_its_field(
    http: Http, field: str, fields: dict[str, object]
) -> None:
    answer = await http("scheduler")("POST", "/api/v1/schedule", json={"command": "true", **fields})

    assert answer.status == 422, answer.body
    problem = answer.json()
    assert isinstance(problem, dict)
    assert ["body", field] in [error["loc"] for error in problem["errors"]]


async def test_a_worker_without_an_agent_swallows_no_job(client: Client, http: Http) -> None:
    kind = unique("hollow")
    registered = await http("scheduler")("POST", "/api/v1/workers", json={"type": kind})
    assert registered.status == 200

    job = await client.submit(command_job("true", requires={"type": kind}, queue_timeout=0.3))

    assert (await expect.fails(client, job.id)).tasks[0].reason is Reason.QUEUE_TIMEOUT


@pytest.mark.parametrize("service", SERVICES)
async def test_pages_of_this_machine_may_ask_and_no_others(http: Http, service: str) -> None:
    for origin, allowed in (("http://localhost:3000", True), ("https://ui.example", False), ("null", False)):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await http(service)("OPTIONS", "/api/v1/workers", headers=asks)
        plain = await http(service)("GET", "/health", headers={"Origin": origin})
        path = "/api/v1/jobs" if service == "orchestrator" else "/api/v1/workers"
        change = await http(service)("POST", path, headers={"Origin": origin}, data="[]")

        assert preflight.status == (204 if allowed else 403)
        assert plain.status == 200
        assert (change.status != 403) is allowed
        for answer in (preflight, plain, change):
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)


async def test_paging_neither_skips_nor_repeats_while_jobs_come_in(client: Client) -> None:
    name = unique("page")
    first = await client.submit_many([command_job("true", name=name) for _ in range(25)])
    seen: list[str] = []

    async for job in client.jobs(name=name, page_size=4):
        seen.append(job.id)
        if len(seen) % 5 == 0:
            await client.submit(command_job("true", name=name))

    assert seen == sorted((job.id for job in first), reverse=True)
