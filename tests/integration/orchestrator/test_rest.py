"""The orchestrator's routes: what they take, answer and refuse."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.api.deleted_logs import DELETING_LOGS
from schemas.events import (
    LogChunk,
    PipelineArchived,
    PipelineUpdated,
    TaskFailed,
    TaskQueued,
    TaskScheduled,
    TaskSucceeded,
)
from schemas.states import Reason
from shared.bus import Bus
from shared.errors import BusUnavailable
from shared.ids import new_id
from tests.fixtures.events import publish_log
from tests.integration.orchestrator.conftest import House, chunk, finished, scheduled

A = {"name": "a", "command": "true"}
B = {"name": "b", "command": "true", "depends_on": ["a"]}


async def test_a_pipeline_is_made_shown_changed_and_archived(house: House) -> None:
    made = await house.pipeline(A, B, env={"X": "1"}, timeout=60)
    path = f"/api/v1/pipelines/{made['id']}"
    assert (made["status"], made["version"], [step["name"] for step in made["steps"]]) == ("active", 1, ["a", "b"])
    assert await house.get(path) == made
    changed = await house.call("PUT", path, {"name": "build 2", "steps": [A]})
    assert (changed["version"], changed["name"], len(changed["steps"])) == (2, "build 2", 1)
    await house.call("DELETE", path, status=204)
    await house.get(path, status=404)
    await house.call("PUT", path, {"name": "x"}, status=404)
    await house.call("DELETE", path, status=404)
    assert await house.get("/api/v1/pipelines") == []
    await house.post("/api/v1/jobs", {"pipeline_id": made["id"]}, status=404)
    await house.ears.wait(PipelineUpdated)
    await house.ears.wait(PipelineArchived)


@pytest.mark.parametrize(
    ("steps", "loc", "kind"),
    [
        ([A, A], ["body", "steps", 1, "name"], "repeated_step"),
        ([B], ["body", "steps", 0, "depends_on", 0], "unknown_step"),
        ([A | {"depends_on": ["b"]}, B], ["body", "steps", 0, "depends_on"], "cycle"),
        ([A, B | {"if": "steps.b.status == 'failed'"}], ["body", "steps", 1, "if"], "not_an_ancestor"),
        ([A | {"env": {"V": "${{ steps.b.outputs.X }}"}}, B], ["body", "steps", 0, "env", "V"], "not_an_ancestor"),
        ([A | {"working_dir": "/${{ matrix.os }}"}], ["body", "steps", 0, "working_dir"], "unknown_axis"),
        ([A | {"command": ["a", "${{ params"]}], ["body", "steps", 0, "command", 1], "bad_expression"),
        ([A | {"command": "echo ${{ params.x }}"}], ["body", "steps", 0, "command"], "expression_not_allowed"),
        ([A | {"when": "always"}], ["body", "steps", 0], "value_error"),
        ([A | {"when": "on_failure"}], ["body", "steps", 0], "value_error"),
    ],
)
async def test_steps_that_make_no_graph_are_refused_by_name(
    house: House, steps: list[object], loc: list[object], kind: str
) -> None:
    problem = await house.post("/api/v1/pipelines", {"name": "x", "steps": steps}, status=422)
    assert [(error["loc"], error["type"]) for error in problem["errors"]] == [(loc, kind)]


async def test_a_job_of_a_pipeline_without_steps_succeeds_at_once(house: House) -> None:
    pipeline = await house.pipeline()
    job = await house.submit(pipeline_id=pipeline["id"])
    assert (job["status"], job["tasks"], job["name"]) == ("succeeded", [], "build")
    detail = await house.get(f"/api/v1/jobs/{job['id']}")
    assert detail == job


async def test_a_job_is_answered_as_it_is_stored(house: House) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    job = await house.submit(command="echo  hello", labels={"a": "b"}, priority="high", run_at=later.isoformat())
    assert job["name"] == "echo hello"
    assert [task["name"] for task in job["tasks"]] == ["main"]
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    of_one_job = ("tasks", "env", "timeout", "cleanup_timeout", "key_wait", "stopping")
    listed = {name: value for name, value in job.items() if name not in of_one_job}
    assert await house.get("/api/v1/jobs") == [listed]
    order = await house.queued(job)
    assert (order.priority, order.run_at) == ("high", later)


async def test_what_a_step_runs_in_is_resolved(house: House) -> None:
    pipeline = await house.pipeline(
        {"name": "a", "command": "env", "env": {"B": "step", "C": "step"}}, env={"A": "pipeline", "B": "pipeline"}
    )
    job = await house.submit(pipeline_id=pipeline["id"], env={"C": "job"}, params={"tag": "v1"})
    env = (await house.queued(job)).run.env
    assert env == {
        "A": "pipeline",
        "B": "step",
        "C": "job",
        "HODEI_PARAM_TAG": "v1",
        "HODEI_JOB_ID": job["id"],
        "HODEI_JOB_NAME": "build",
        "HODEI_TASK_ID": job["tasks"][0]["id"],
        "HODEI_STEP_NAME": "a",
        "HODEI_ATTEMPT": "1",
    }
    timeline = await house.get(f"/api/v1/jobs/{job['id']}/events")
    assert [event["type"] for event in timeline] == ["jobs.created", "tasks.queued"]
    assert "HODEI_JOB_ID" not in str(timeline), "commands and environments stay out of the timeline"


async def test_a_batch_is_made_whole_and_in_order(house: House) -> None:
    names = [f"job-{number}" for number in range(50)]
    jobs = await house.post("/api/v1/jobs/batch", [{"command": "true", "name": name} for name in names])
    assert [job["name"] for job in jobs] == names
    listed = await house.get("/api/v1/jobs?limit=100")
    assert [job["name"] for job in listed] == names[::-1]
    assert len(await house.ears.wait(TaskQueued, 50)) == 50


async def test_a_batch_with_one_bad_job_makes_none(house: House) -> None:
    good = {"command": "true"}
    problem = await house.post("/api/v1/jobs/batch", [good, good | {"comand": "x"}], status=422)
    assert problem["errors"][0]["loc"][:2] == ["body", 1]
    problem = await house.post("/api/v1/jobs/batch", [good, good | {"concurrency_key": ""}], status=422)
    assert problem["errors"][0]["loc"] == ["body", 1, "concurrency_key"]
    problem = await house.post("/api/v1/jobs/batch", [good, {"pipeline_id": new_id()}], status=404)
    assert "job 1 of the batch" in problem["detail"]
    assert await house.get("/api/v1/jobs") == []


async def test_jobs_are_found_by_each_field(house: House) -> None:
    pipeline = await house.pipeline()
    of_pipeline = await house.submit(pipeline_id=pipeline["id"])
    plain = await house.submit(name="plain", priority="low")
    again = await house.post(f"/api/v1/jobs/{of_pipeline['id']}/rerun", {})

    async def found(query: str) -> list[str]:
        return [job["id"] for job in await house.get(f"/api/v1/jobs?{query}")]

    assert await found("status=pending") == [plain["id"]]
    assert await found("name=plain") == [plain["id"]]
    assert await found("priority=low") == [plain["id"]]
    assert await found(f"pipeline_id={pipeline['id']}") == [again["id"], of_pipeline["id"]]
    assert await found(f"rerun_of={of_pipeline['id']}") == [again["id"]]
    assert await found("schedule_id=nonsense") == []
    assert await found("status=succeeded&priority=low") == []


async def test_jobs_are_found_by_their_labels(house: House) -> None:
    web = await house.submit(labels={"team": "web", "tier": "1"})
    other = await house.submit(labels={"team": "data", "tier": "1", "note": "a=b c"})
    await house.submit()

    async def found(query: str) -> list[str]:
        return [job["id"] for job in await house.get(f"/api/v1/jobs?{query}")]

    assert await found("label=team=web") == [web["id"]]
    assert await found("label=tier=1") == [other["id"], web["id"]]
    assert await found("label=tier=1&label=team=data") == [other["id"]]
    assert await found("label=note=a%3Db%20c") == [other["id"]]
    assert await found("label=tier=2") == []
    for query, says in (
        ("label=team", "should be KEY=VALUE"),
        ("label=a=1&label=a=2", "two values"),
    ):
        problem = await house.get(f"/api/v1/jobs?{query}", status=422)
        assert says in problem["errors"][0]["msg"]


async def test_a_job_is_found_by_the_end_of_its_id(house: House) -> None:
    jobs = [await house.submit() for _ in range(3)]

    for job in jobs:
        assert [one["id"] for one in await house.get(f"/api/v1/jobs?short_id={job['id'][-8:]}")] == [job["id"]]
    await house.get("/api/v1/jobs?short_id=xyz", status=422)


async def test_paging_neither_skips_nor_repeats(house: House) -> None:
    await house.post("/api/v1/jobs/batch", [{"command": "true"}] * 5)
    seen: list[str] = []
    async for page in house.pages("/api/v1/jobs?limit=2"):
        seen += [job["id"] for job in page]
        await house.submit()
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


async def test_what_is_not_there_is_not_found(house: House) -> None:
    for id in (new_id(), "nonsense"):
        for method, tail in [
            ("GET", ""),
            ("GET", "/status"),
            ("GET", "/events"),
            ("GET", "/logs"),
            ("POST", "/cancel"),
            ("POST", "/rerun"),
            ("DELETE", ""),
        ]:
            await house.call(method, f"/api/v1/jobs/{id}{tail}", status=404)


async def test_the_same_key_makes_one_job(house: House) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await house.post("/api/v1/jobs", {"command": "true"}, headers=headers)
    second = await house.post("/api/v1/jobs", {"command": "true"}, headers=headers)
    assert first == second
    await house.post("/api/v1/jobs", {"command": "false"}, headers=headers, status=422)
    assert len(await house.get("/api/v1/jobs")) == 1


async def test_a_key_used_by_many_at_once_makes_one_job(house: House) -> None:
    headers = {"Idempotency-Key": "k"}
    jobs = await asyncio.gather(
        *(house.post("/api/v1/jobs", {"command": "true"}, headers=headers) for _ in range(10)),
        *(house.post("/api/v1/jobs/batch", [{"command": "true"}], headers=headers) for _ in range(10)),
    )
    assert len({job["id"] for job in jobs[:10]}) == 1
    assert len({job["id"] for [job] in jobs[10:]}) == 1  # another route, another key
    assert len(await house.get("/api/v1/jobs")) == 2
    queued = await house.ears.wait(TaskQueued, 2)
    assert len(queued) == 2


async def test_what_was_answered_once_is_answered_again_though_it_would_be_refused_now(house: House) -> None:
    headers = {"Idempotency-Key": "k"}
    pipeline = await house.pipeline(A)
    first = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, headers=headers)
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    assert await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, headers=headers) == first
    await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, headers={"Idempotency-Key": "l"}, status=404)


async def test_a_job_runs_again_only_when_it_is_over(house: House) -> None:
    job = await house.submit(command="echo hi", env={"A": "1"}, timeout=5)
    await house.post(f"/api/v1/jobs/{job['id']}/rerun", status=409)
    await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=409)
    await house.say(finished(scheduled(await house.queued(job))))
    await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun")
    order = await house.queued(again)
    assert again["rerun_of"] == job["id"]
    assert (order.run.command, order.run.env["A"], order.run.timeout) == ("echo hi", "1", 5)
    assert order.run.env["HODEI_JOB_ID"] == again["id"]


async def test_rerun_from_failed_keeps_what_succeeded(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.say(finished(scheduled(await house.queued(job, "a"))))
    await house.say(finished(scheduled(await house.queued(job, "b")), "failed", exit_code=1))
    assert (await house.over(job))["status"] == "failed"
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "failed"})
    assert {task["name"]: task["status"] for task in again["tasks"]} == {"a": "succeeded", "b": "queued"}
    await house.say(finished(scheduled(await house.queued(again, "b"))))
    assert (await house.over(again))["status"] == "succeeded"


async def test_rerun_from_failed_is_refused_when_nothing_failed(house: House) -> None:
    job = await house.submit()
    await house.say(finished(scheduled(await house.queued(job))))
    assert (await house.over(job))["status"] == "succeeded"
    refused = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "failed"}, status=409)
    assert refused["detail"] == f"nothing of job {job['id']} failed: run it again from the start, or from a step"
    assert [one["id"] for one in await house.get("/api/v1/jobs")] == [job["id"]]
    await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "start"})


async def test_rerun_from_a_step_keeps_what_is_before_it_with_outputs_and_decisions(house: House) -> None:
    b = {"name": "b", "command": ["echo", "${{ steps.a.outputs.TAG }}"], "type": "exec", "depends_on": ["a", "ask"]}
    pipeline = await house.pipeline(A, {"name": "ask", "type": "approval"}, b, {**B, "name": "c", "depends_on": ["b"]})
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.post(f"/api/v1/tasks/{job['tasks'][1]['id']}/approve", {"by": "ana"}, status=200)
    await house.say(finished(scheduled(await house.queued(job, "a")), outputs={"TAG": "v1"}))
    for name in "bc":
        await house.say(finished(scheduled(await house.queued(job, name))))
    over = await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "b"})
    assert {task["name"]: task["status"] for task in again["tasks"]} == {
        "a": "succeeded",
        "ask": "succeeded",
        "b": "queued",
        "c": "pending",
    }
    assert (await house.queued(again, "b")).run.command == ["echo", "v1"]
    shown = await house.get(f"/api/v1/jobs/{again['id']}")
    assert shown["rerun_of"] == job["id"]
    of_their_own = {"id", "executions"}
    for before, after in zip(over["tasks"][:2], shown["tasks"][:2], strict=True):
        assert {**after, **{one: before[one] for one in of_their_own}} == before
    assert (shown["tasks"][1]["decision"]["by"], shown["tasks"][0]["executions"]) == ("ana", [])
    problem = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "aks"}, status=422)
    assert problem["errors"] == [
        {"loc": ["body", "from"], "msg": "the job has no step 'aks'; did you mean ask?", "type": "unknown_step"}
    ]


async def test_a_job_can_be_read_whatever_outputs_an_agent_sends(house: House) -> None:
    c = {"name": "c", "command": "true", "when": "always", "depends_on": ["a"]}
    pipeline = await house.pipeline(A, c)
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.say(finished(scheduled(await house.queued(job, "a")), outputs={"X": "a\0b", "Y": "kept?"}))
    await house.say(finished(scheduled(await house.queued(job, "c")), "failed", exit_code=1, outputs={"no name": ""}))
    first, second = (await house.over(job))["tasks"]
    assert [first[field] for field in ("status", "reason", "outputs")] == ["failed", "bad_output", {}]
    assert first["detail"] == "its outputs were dropped: the output X has a NUL character"
    assert [second[field] for field in ("status", "reason", "outputs")] == ["failed", "exit_code", {}]
    assert (await house.get(f"/api/v1/jobs/{job['id']}"))["status"] == "failed"
    assert await house.get(f"/api/v1/jobs/{job['id']}/events")


async def test_outputs_are_shown_masked_and_kept_when_a_job_runs_again(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    assert [task["outputs"] for task in job["tasks"]] == [{}, {}]
    outputs = {"TAG": "v1", "NOTES": "a\nü\x01", "TOKEN": "t"}
    await house.say(finished(scheduled(await house.queued(job, "a")), outputs=outputs))
    [succeeded] = await house.ears.wait(TaskSucceeded)
    assert succeeded.outputs == outputs
    await house.say(
        finished(scheduled(await house.queued(job, "b")), "failed", reason=Reason.BAD_OUTPUT, outputs={"B": ""})
    )
    shown = outputs | {"TOKEN": "***"}
    assert [task["outputs"] for task in (await house.over(job))["tasks"]] == [shown, {"B": ""}]
    assert (await house.ears.wait(TaskFailed))[0].outputs == {"B": ""}
    timeline = await house.get(f"/api/v1/jobs/{job['id']}/events")
    assert len(timeline) > 6
    assert not [event for event in timeline if "outputs" in event["data"]]
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "failed"})
    assert [task["outputs"] for task in again["tasks"]] == [shown, {}]
    assert (await house.get(f"/api/v1/jobs/{again['id']}"))["tasks"][0]["outputs"] == shown
    kept = await house.database.fetch_value("select outputs from orchestrator.tasks where job_id = $1", again["id"])
    assert kept == outputs


async def test_a_job_of_an_archived_pipeline_does_not_run_again(house: House) -> None:
    pipeline = await house.pipeline(A)
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.say(finished(scheduled(await house.queued(job)), "failed", exit_code=1))
    await house.over(job)
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    for body in ({}, {"from": "failed"}):
        problem = await house.post(f"/api/v1/jobs/{job['id']}/rerun", body, status=409)
        assert problem["detail"] == f"the pipeline of job {job['id']} is archived: its jobs do not run again"
    assert [each["id"] for each in await house.get("/api/v1/jobs")] == [job["id"]]


async def wrote(house: House, job: Any) -> TaskScheduled:
    """The job is over and has a log; its execution."""
    placed = scheduled(await house.queued(job))
    await publish_log(house.bus, chunk(placed, 1, "a line"), placed.worker_id)
    await house.say(finished(placed, chunks=1))
    await house.over(job)
    return placed


async def log(house: House, placed: TaskScheduled) -> list[LogChunk]:
    async with house.bus.read_log(placed.execution_id, placed.worker_id, follow=False) as reader:
        return [chunk async for chunk in reader]


async def test_deleting_a_job_deletes_everything_of_it(house: House) -> None:
    job = await house.submit()
    execution_id = await wrote(house, job)
    assert len(await log(house, execution_id)) == 1
    await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=204)
    await house.get(f"/api/v1/jobs/{job['id']}", status=404)
    for table in ("jobs", "tasks", "executions", "timeline"):
        assert await house.database.fetch_value(f"select count(*) from {table}") == 0
    assert await log(house, execution_id) == []


async def test_a_job_whose_logs_cannot_be_deleted_stays_to_be_deleted_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.submit()
    execution = await wrote(house, job)

    async def away(_bus: Bus, _execution_id: str) -> None:
        raise BusUnavailable("not connected to NATS")

    with monkeypatch.context() as patch:
        patch.setattr(Bus, "delete_log", away)
        await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=503)
    await house.get(f"/api/v1/jobs/{job['id']}")

    await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=204)
    await house.get(f"/api/v1/jobs/{job['id']}", status=404)
    assert await log(house, execution) == []


async def test_no_transaction_is_open_while_logs_are_deleted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await house.submit()
    await wrote(house, job)
    asked, go = asyncio.Event(), asyncio.Event()

    async def slowly(_bus: Bus, _execution_id: str) -> None:
        asked.set()
        await go.wait()

    monkeypatch.setattr(Bus, "delete_log", slowly)
    deleting = asyncio.create_task(house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=204))
    in_transaction = "state = 'idle in transaction' and datname = current_database()"
    async with asyncio.timeout(DELETING_LOGS / 2):
        await asked.wait()
        while await house.database.fetch_value(f"select count(*) from pg_stat_activity where {in_transaction}"):
            pass  # those of other parts come and go, one held over the deletion would stay
    go.set()
    await deleting
