"""What a job may weigh: it is refused when it is submitted, in words, or it runs; and what it has in common is kept
once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import (
    ExecutionRefused,
    ExecutionRequested,
    JobTarget,
    ScheduleCreated,
    ScheduleFired,
    ScheduleRefused,
)
from schemas.ids import is_id
from schemas.refusals import RefusalReason
from shared.bus.bus import LEAST_PAYLOAD
from shared.bus.connection import Connection
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, lost, scheduled

TWO_BYTES = "é" * 100_000
LARGE = {f"V{number}": "x" * 99_500 for number in range(10)}
OTHERS = {f"W{number}": "x" * 99_500 for number in range(10)}
FEWER = {name: OTHERS[name] for name in list(OTHERS)[:9]}


def _fired(target: JobTarget) -> ScheduleFired:
    return ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target, due_at=datetime.now(UTC))


def steps(count: int, **fields: object) -> list[dict[str, object]]:
    return [{"name": f"step-{number}", "command": "true", **fields} for number in range(count)]


async def refusal(house: House, path: str, body: object) -> Any:
    [error] = (await house.post(path, body, status=422))["errors"]
    return error


async def test_a_variable_that_no_process_takes_is_refused_with_its_name_and_its_bytes(house: House) -> None:
    pipeline = await house.pipeline(*steps(1))
    bad = [
        ("/api/v1/jobs", {"command": "true", "env": {"X": TWO_BYTES}, "retry": {"max_attempts": 3}}),
        ("/api/v1/jobs", {"pipeline_id": pipeline["id"], "env": {"X": TWO_BYTES}}),
        ("/api/v1/jobs/batch", [{"command": "true"}, {"command": "true", "env": {"X": TWO_BYTES}}]),
        ("/api/v1/pipelines", {"name": "p", "env": {"X": TWO_BYTES}}),
        ("/api/v1/pipelines", {"name": "p", "steps": steps(1, env={"X": TWO_BYTES})}),
    ]
    for path, body in bad:
        error = await refusal(house, path, body)
        assert "X takes 200,003 bytes with its name" in error["msg"]
        assert error["loc"][-1] == "env"
    error = await refusal(house, "/api/v1/jobs", {"pipeline_id": pipeline["id"], "params": {"text": TWO_BYTES}})
    assert "HODEI_PARAM_TEXT takes 200,018 bytes" in error["msg"]
    assert await house.get("/api/v1/jobs") == []


async def test_what_a_process_does_not_take_all_together_is_refused_wherever_it_comes_from(house: House) -> None:
    """The pipeline's, the step's and the job's variables, its parameters and its arguments are one process's."""
    of_pipeline = await house.pipeline(*steps(1), env=LARGE)
    of_step = await house.pipeline(*steps(1, env=LARGE))
    for made in (of_pipeline, of_step):
        await house.submit(pipeline_id=made["id"], env=FEWER)
        await house.submit(pipeline_id=made["id"], env=LARGE)  # what takes the place of another counts once
        for extra in ({"env": OTHERS}, {"params": OTHERS}):
            error = await refusal(house, "/api/v1/jobs", {"pipeline_id": made["id"], **extra})
            assert "step step-0: its variables and the arguments" in error["msg"]
            assert "at most 1,966,080" in error["msg"]
            assert error["loc"] == ["body", "env"]


async def test_a_schedule_and_an_execution_that_no_process_takes_are_refused_before_they_run(house: House) -> None:
    job = await house.submit(command="true", env=LARGE)
    schedule_id = new_id()
    await house.say(ScheduleCreated(schedule_id=schedule_id, target=JobTarget(job_id=job["id"], env=OTHERS)))
    [refused] = await house.ears.wait(ScheduleRefused)
    assert (refused.schedule_id, refused.reason) == (schedule_id, RefusalReason.INVALID)
    assert "a process takes at most" in refused.detail
    ids = {"execution_id": new_id(), "task_id": new_id(), "job_id": new_id(), "attempt": 1}
    await house.say(ExecutionRequested(**ids, target=JobTarget(job_id=job["id"], env=OTHERS)))
    [turned_down] = await house.ears.wait(ExecutionRefused)
    assert (turned_down.execution_id, turned_down.reason) == (ids["execution_id"], RefusalReason.INVALID)


async def test_the_environments_of_all_steps_together_have_a_limit(house: House) -> None:
    wide = await house.pipeline(*steps(20))
    error = await refusal(house, "/api/v1/jobs", {"pipeline_id": wide["id"], "env": LARGE})
    assert "the environments of the 20 steps take 19,90" in error["msg"]
    assert "at most 8,388,608" in error["msg"]
    error = await refusal(house, "/api/v1/pipelines", {"name": "p", "steps": steps(20), "env": LARGE})
    assert error["loc"] == ["body", "env"]
    narrow = await house.pipeline(*steps(100))
    await house.submit(pipeline_id=narrow["id"], env={"A": "x" * 80_000})


async def test_the_jobs_of_one_request_together_have_a_limit(house: House) -> None:
    made = await house.pipeline(*steps(8), env=LARGE)
    batch = [{"pipeline_id": made["id"]}] * 5
    error = await refusal(house, "/api/v1/jobs/batch", batch)
    assert error["loc"] == ["body", 4, "env"]
    assert "one request takes at most 33,554,432" in error["msg"]
    assert await house.get("/api/v1/jobs") == []


@pytest.mark.parametrize("count", [1, 50])
async def test_a_jobs_environment_is_stored_once_however_many_steps_it_has(house: House, count: int) -> None:
    value = "".join(new_id() for _ in range(1000))  # nothing that PostgreSQL could make smaller by half
    made = await house.pipeline(*steps(count, env={"MINE": "step", "THEIRS": "step"}), env={"P": "pipeline"})
    job = await house.submit(pipeline_id=made["id"], env={"BIG": value, "THEIRS": "job"}, params={"tag": "v1"})
    kept = await house.database.fetch_value("select sum(length(run::text)) from tasks")
    assert kept < 200 * count
    env = await house.database.fetch_value("select env from jobs")
    assert env == {"P": "pipeline", "BIG": value, "THEIRS": "job"}
    order = await house.queued(job, f"step-{count - 1}")
    told = {name: text for name, text in order.run.env.items() if not name.startswith("HODEI_JOB")}
    assert told == {
        **env,
        "MINE": "step",
        "HODEI_PARAM_TAG": "v1",
        "HODEI_ATTEMPT": "1",
        "HODEI_STEP_NAME": order.name,
        "HODEI_TASK_ID": order.task_id,
    }


async def test_every_attempt_step_and_rerun_gets_the_whole_environment(house: House) -> None:
    def whole(env: dict[str, str]) -> dict[str, str]:
        return {name: text for name, text in env.items() if not is_id(text) and name != "HODEI_ATTEMPT"}

    pipeline = await house.pipeline(
        {"name": "a", "command": "true", "env": {"A": "step", "B": "step"}},
        {"name": "b", "command": "true", "depends_on": ["a"], "env": {"C": "step"}},
        env={"A": "pipeline", "P": "pipeline"},
    )
    job = await house.submit(pipeline_id=pipeline["id"], env={"B": "job"}, params={"tag": "v1"})
    common = {"P": "pipeline", "B": "job", "HODEI_PARAM_TAG": "v1", "HODEI_JOB_NAME": "build"}
    first = await house.queued(job, "a")
    assert whole(first.run.env) == common | {"A": "step", "HODEI_STEP_NAME": "a"}
    await house.say(lost(scheduled(first)))
    second = await house.queued(job, "a", attempt=2)
    assert whole(second.run.env) == whole(first.run.env)
    await house.say(finished(scheduled(second)))
    following = await house.queued(job, "b")
    assert whole(following.run.env) == common | {"A": "pipeline", "C": "step", "HODEI_STEP_NAME": "b"}
    await house.say(finished(scheduled(following)))
    await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun")
    assert again["params"] == {"tag": "v1"}
    assert whole((await house.queued(again, "a")).run.env) == whole(first.run.env)
    # Run again by a schedule that sets more, what it sets wins over everything.
    target = JobTarget(job_id=job["id"], env={"A": "more", "P": "more"}, params={"TAG": "v2"})
    await house.say(fired := _fired(target))
    overlaid = {"A": "more", "P": "more", "HODEI_PARAM_TAG": "v2", "HODEI_STEP_NAME": "a"}
    assert whole((await house.queued({"id": fired.job_id}, "a")).run.env) == common | overlaid
    assert (await house.get(f"/api/v1/jobs/{fired.job_id}"))["params"] == {"TAG": "v2"}


async def test_a_job_that_was_made_before_environments_were_shared_runs_as_it_was(house: House) -> None:
    job = await house.submit(command="true", env={"A": "1"})
    old = '{"command":"true","env":{"A":"1","HODEI_PARAM_TAG":"v1"}}'
    await house.database.execute("update tasks set run = $1::text::json", old)
    await house.database.execute("""update jobs set params = '{"tag": "v1"}'""")
    await house.say(lost(scheduled(await house.queued(job))))
    env = (await house.queued(job, attempt=2)).run.env
    assert (env["A"], env["HODEI_PARAM_TAG"]) == ("1", "v1")


def allow(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """From now on the NATS server takes messages of so many bytes."""
    monkeypatch.setattr(Connection, "max_payload", property(lambda _: size))


CONTROLS = "\x01" * 99_000
"""In JSON each of these takes six bytes."""


@pytest.mark.parametrize(
    ("of_pipeline", "of_job"), [(LARGE, FEWER), ({"A": CONTROLS}, {"B": CONTROLS})], ids=["plain", "escaped"]
)
async def test_what_the_bus_does_not_take_is_refused_whichever_step_it_is_for(
    house: House, monkeypatch: pytest.MonkeyPatch, of_pipeline: dict[str, str], of_job: dict[str, str]
) -> None:
    allow(monkeypatch, 1 << 20)
    later = [*steps(1), {"name": "later", "command": "true", "depends_on": ["step-0"], "env": of_pipeline}]
    made = await house.pipeline(*later)
    await house.submit(pipeline_id=made["id"])
    error = await refusal(house, "/api/v1/jobs", {"pipeline_id": made["id"], "env": of_job})
    assert "step later: its environment and its command take 1," in error["msg"]
    assert "at most 1,044,480 (its max_payload" in error["msg"]
    assert (error["loc"], error["type"]) == (["body", "env"], "too_large")


async def test_the_largest_order_that_is_taken_is_heard_by_the_scheduler(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just below the limit it travels, whatever it says of itself beside; some bytes more, and it is refused."""
    limit = 600 * 1024
    allow(monkeypatch, limit)
    sizes = range(560_000, 620_000, 5_000)
    taken = 0
    for size in sizes:
        body = {"command": "true", "env": {f"V{number}": "x" * (size // 10) for number in range(10)}}
        async with house.http.post(f"{house.url}/api/v1/jobs", json=body) as answer:
            if answer.status == 201:
                taken += 1
                await house.queued(await answer.json())
            else:
                assert answer.status == 422
    assert 0 < taken < len(sizes)


async def test_a_task_whose_order_the_bus_no_longer_takes_fails_and_holds_nothing_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {f"V{number}": "x" * 99_500 for number in range(8)}
    made = await house.pipeline(
        {"name": "a", "command": "true"}, {"name": "b", "command": "true", "depends_on": ["a"], "env": large}
    )
    job = await house.submit(pipeline_id=made["id"])
    first = await house.queued(job, "a")
    allow(monkeypatch, LEAST_PAYLOAD)
    await house.say(finished(scheduled(first)))
    ended = await house.over(job)
    assert (ended["status"], ended["reason"]) == ("failed", "too_large")
    assert {task["name"]: task["status"] for task in ended["tasks"]} == {"a": "succeeded", "b": "failed"}
    other = await house.submit()
    await house.say(finished(scheduled(await house.queued(other))))
    assert (await house.over(other))["status"] == "succeeded"


async def test_the_jobs_of_a_batch_have_a_limited_number_of_tasks_together(house: House) -> None:
    matrix = {"n": list(range(250))}
    pipeline = await house.pipeline(*({"name": f"s{n}", "command": "true", "matrix": matrix} for n in range(4)))
    error = await refusal(house, "/api/v1/jobs/batch", [{"pipeline_id": pipeline["id"]}] * 1000)
    assert (error["loc"], error["type"]) == (["body", 10], "too_large")
    assert "have 11,000 tasks; one request makes at most 10,000" in error["msg"]
    assert await house.get("/api/v1/jobs") == []
