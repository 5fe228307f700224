"""Jobs as others report on them: over the bus in, over REST, streams and the bus out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import permutations
from typing import Any

import aiohttp
import pytest

from orchestrator.api import jobs
from orchestrator.memory import RunMemory
from orchestrator.recall import START, Unheard
from orchestrator.store.claims import ClaimStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.runs import RunStore
from orchestrator.traces import Traces
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.watch import JobListener, Watch
from schemas.events import (
    ExecutionCompleted,
    ExecutionRefused,
    ExecutionRequested,
    JobCancelled,
    JobFailed,
    JobStarted,
    JobSucceeded,
    JobTarget,
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleFired,
    ScheduleRefused,
    TaskApprovalRequested,
    TaskApproved,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
    TaskSucceeded,
    TaskWithdrawn,
)
from schemas.model import rfc3339
from schemas.outputs import MAX_OUTPUTS
from schemas.questions import RECALL_OF, TASK, Overdue, RecallAnswer, RecallQuestion, TaskQuestion
from schemas.refusals import RefusalReason
from schemas.specs import CommandSpec
from schemas.states import JobStatus, Reason, TaskStatus
from shared.bus import Answering, answer, ask, questions_asked
from shared.bus.bus import LEAST_PAYLOAD
from shared.bus.connection import Connection
from shared.clock import now
from shared.errors import NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.recall import Recall
from shared.telemetry import Metrics, Tracing
from tests.fixtures.events import publish_log
from tests.integration.orchestrator.conftest import DEADLINE, House, chunk, finished, lost, scheduled, started

A = {"name": "a", "command": "true"}
B = {"name": "b", "command": "true", "depends_on": ["a"]}
C = {"name": "c", "command": "true", "depends_on": ["b"]}


@pytest.mark.smoke
async def test_a_job_goes_through_its_states(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await house.say(placed)
    await house.say(started(placed))
    await house.say(finished(placed, chunks=0))
    over = await house.over(job)
    [task] = over["tasks"]
    [execution] = task["executions"]
    assert (over["status"], task["status"], task["exit_code"]) == ("succeeded", "succeeded", 0)
    assert (execution["id"], execution["worker_id"]) == (placed.execution_id, placed.worker_id)
    assert (execution["status"], execution["attempt"]) == ("succeeded", 1)
    assert over["started_at"] is not None
    assert over["finished_at"] is not None
    timeline = await house.get(f"/api/v1/jobs/{job['id']}/events")
    types = [event["type"] for event in timeline]
    assert types[0] == "jobs.created"
    assert types[-2:] == ["tasks.succeeded", "jobs.succeeded"]
    assert len({event["id"] for event in timeline}) == len(timeline)


async def test_reports_backwards_and_twice_end_the_same(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    for report in (finished(placed), finished(placed), started(placed), placed, lost(placed)):
        await house.say(report)
    sentinel = await house.submit()
    await house.say(finished(scheduled(await house.queued(sentinel))))
    await house.over(sentinel)
    [execution] = (await house.over(job))["tasks"][0]["executions"]
    assert execution["status"] == "succeeded"
    async with house.http.get(f"{house.url}/metrics") as answer:
        told = await answer.text()
    assert "hodei_stale_reports_total 4.0" in told
    assert 'hodei_job_seconds_count{status="succeeded"} 2.0' in told
    assert 'hodei_job_seconds_count{status="failed"} 0.0' in told


def _elsewhere(house: House, outbox: Outbox) -> UnitOfWork:
    """Another replica's way to write jobs."""
    memory = RunMemory()
    return UnitOfWork(
        outbox,
        JobStore(house.database),
        RunStore(house.database),
        ClaimStore(house.database),
        Traces(Tracing("orchestrator")),
        memory,
        Watch(house.bus, ended=memory.forget, missed=memory.clear),
    )


async def _batches(house: House) -> dict[str, float]:
    """How many batches of reports were written, by how their jobs were known."""
    async with house.http.get(f"{house.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    marked = [line.split('"') for line in lines if line.startswith("hodei_report_batches_total{")]
    return {known: float(value[1:]) for _, known, value in marked}


async def test_a_running_job_is_remembered(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    for step in ("a", "b"):
        await house.say(finished(scheduled(await house.queued(job, step))))
    assert (await house.over(job))["status"] == "succeeded"
    assert await _batches(house) == {"remembered": 2.0}


async def test_what_another_replica_wrote_is_not_overwritten(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    placed = scheduled(await house.queued(job, "a"))
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await _elsewhere(house, outbox).change([job["id"]], lambda run: run.cancel(now()), now())
    await house.say(finished(placed))
    over = await house.over(job)
    assert [task["status"] for task in over["tasks"]] == ["succeeded", "cancelled"]
    assert over["status"] == "cancelled"
    assert await _batches(house) == {"conflict": 1.0}
    timeline = [event["type"] for event in await house.get(f"/api/v1/jobs/{job['id']}/events")]
    assert timeline.count("tasks.succeeded") == 1


async def test_what_another_replica_made_possible_is_not_too_late_here(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await outbox.start()
    report = finished(scheduled(await house.queued(job, "a")), outputs={"TAG": "v1"})
    await _elsewhere(house, outbox).change([job["id"]], lambda run: run.apply(report, now()), now())
    await house.say(finished(scheduled(await house.queued(job, "b"))))
    over = await house.over(job)
    assert (over["status"], over["tasks"][0]["outputs"]) == ("succeeded", {"TAG": "v1"})
    loaded = await _elsewhere(house, outbox).change([job["id"]], lambda _: None, now())
    assert [task.outputs for task in loaded[job["id"]].tasks.values()] == [{"TAG": "v1"}, None]
    assert await _batches(house) == {"loaded": 1.0}
    await outbox.stop()


async def test_an_order_has_the_values_of_its_expressions_and_so_has_its_reminder(house: House) -> None:
    hostile = "$(id) '\n${{ job.id }}\n" + "é" * 30_000
    use = {"command": ["echo", "${{ steps.a.outputs.TAG }}"], "env": {"V": "${{ params.x }}${{ steps.a.outputs.TAG }}"}}
    pipeline = await house.pipeline(A, B, C | use | {"working_dir": "/${{ job.id }}"})
    job = await house.submit(pipeline_id=pipeline["id"], params={"x": "1"})
    await house.say(finished(scheduled(await house.queued(job, "a")), outputs={"TAG": hostile}))
    await house.say(finished(scheduled(await house.queued(job, "b"))))
    order = await house.queued(job, "c")
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await outbox.start()
    overdue = Overdue(task_id=order.task_id, job_id=job["id"], attempt=1, status="queued")
    sent = await _elsewhere(house, outbox).remind([overdue])
    [_, again] = await house.ears.wait(TaskQueued, 2, where=lambda one: one.task_id == order.task_id)
    await outbox.stop()

    assert (order.run.command, order.run.env["V"]) == (["echo", hostile], f"1{hostile}")
    assert order.run.working_dir == f"/{job['id']}"
    assert sent == 1
    assert again == order
    shown = (await house.get(f"/api/v1/jobs/{job['id']}"))["tasks"]
    assert [task["expressions"] for task in shown] == [False, False, True]
    assert shown[2]["env"] == use["env"]


async def test_a_task_whose_expression_has_no_value_fails_and_others_go_on(house: House) -> None:
    bad = B | {"env": {"V": "${{ steps.a.outputs.TAG }}"}}
    pipeline = await house.pipeline(A, bad, C, C | {"name": "d", "when": "always"})
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.say(finished(scheduled(await house.queued(job, "a")), outputs={"TAGS": "1"}))
    await house.say(finished(scheduled(await house.queued(job, "d"))))
    over = await house.over(job)

    assert [task["status"] for task in over["tasks"]] == ["succeeded", "failed", "skipped", "succeeded"]
    assert (over["reason"], over["tasks"][1]["reason"]) == ("bad_expression", "bad_expression")
    detail = "env.V: step 'a' succeeded without the output 'TAG'; did you mean TAGS?"
    assert (over["detail"], over["tasks"][1]["detail"]) == (f"step b: {detail}", detail)


async def test_who_waits_for_what_runs_here_asks_the_tables_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    changed = JobListener.changed

    async def wait(listener: JobListener, within: float) -> None:
        begun.set()
        await changed(listener, within)

    monkeypatch.delattr(JobStore, "status")
    monkeypatch.setattr(JobListener, "changed", wait)
    job = await house.submit()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(house.get(f"/api/v1/jobs/{job['id']}/status?wait={DEADLINE:g}"))
        order = await house.queued(job)
        await begun.wait()
        await house.say(finished(scheduled(order)))
    assert waits.result()["status"] == "succeeded"


async def test_an_end_that_was_missed_is_found_by_the_next_look_and_not_waited_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.submit()
    await _end_elsewhere(house, job)
    monkeypatch.setattr(jobs, "LOOK_AGAIN", 0.01)
    assert (await house.over(job))["status"] == "succeeded"
    monkeypatch.setattr(jobs, "LOOK_AGAIN", 2 * DEADLINE)
    async with asyncio.timeout(DEADLINE):
        await house.get(f"/api/v1/jobs/{job['id']}/status?wait={2 * DEADLINE:g}")


async def test_who_asks_after_the_end_was_heard_of_waits_for_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_AGAIN", 2 * DEADLINE)
    job, other = await house.submit(), await house.submit()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(house.get(f"/api/v1/jobs/{other['id']}/status?wait={2 * DEADLINE:g}"))
        for one in (job, other):
            await _end_elsewhere(house, one)
        moment = now()
        ends = [JobSucceeded(job_id=one["id"], name="j", created_at=moment, finished_at=moment) for one in (job, other)]
        await house.say(*ends)
        assert (await waits)["status"] == "succeeded"
        assert (await house.get(f"/api/v1/jobs/{job['id']}/status?wait={2 * DEADLINE:g}"))["status"] == "succeeded"


async def _end_elsewhere(house: House, job: dict[str, Any]) -> None:
    """As another replica would, that is not heard."""
    await house.database.execute(
        "UPDATE jobs SET status = 'succeeded', version = version + 1, finished_at = now() WHERE id = $1", job["id"]
    )


async def test_a_job_that_was_cancelled_here_is_still_known(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    await house.say(finished(placed, "cancelled", reason=Reason.CANCELLED))
    assert (await house.over(job))["status"] == "cancelled"
    assert await _batches(house) == {"remembered": 1.0}


async def test_a_failed_step_skips_what_follows(house: House) -> None:
    pipeline = await house.pipeline(A, B, C)
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.say(finished(scheduled(await house.queued(job, "a")), "failed", exit_code=3, reason=Reason.EXIT_CODE))
    over = await house.over(job)
    assert [(task["status"], task["reason"]) for task in over["tasks"]] == [
        ("failed", "exit_code"),
        ("skipped", "dependency_failed"),
        ("skipped", "dependency_failed"),
    ]
    [event] = await house.ears.wait(JobFailed)
    assert event.reason is Reason.EXIT_CODE


async def test_a_step_after_a_failure_and_one_at_the_end_run(house: House) -> None:
    pipeline = await house.pipeline(
        A,
        {"name": "undo", "command": "true", "depends_on": ["a"], "when": "on_failure"},
        {"name": "notify", "command": "true", "depends_on": ["a"]},
        {"name": "clean", "command": "true", "depends_on": ["undo", "notify"], "when": "always"},
    )
    job = await house.submit(pipeline_id=pipeline["id"])
    assert [task["when"] for task in job["tasks"]] == ["on_success", "on_failure", "on_success", "always"]
    await house.say(finished(scheduled(await house.queued(job, "a")), "failed", exit_code=3, reason=Reason.EXIT_CODE))
    await house.say(finished(scheduled(await house.queued(job, "undo"))))
    await house.say(finished(scheduled(await house.queued(job, "clean"))))
    over = await house.over(job)
    assert [(task["status"], task["reason"]) for task in over["tasks"]] == [
        ("failed", "exit_code"),
        ("succeeded", None),
        ("skipped", "dependency_failed"),
        ("succeeded", None),
    ]
    assert (over["status"], over["reason"]) == ("failed", "exit_code")


async def test_clean_up_after_a_cancel_ends_at_its_time_limit(house: House) -> None:
    clean = {"name": "clean", "command": "true", "depends_on": ["a"], "when": "always"}
    pipeline = await house.post("/api/v1/pipelines", {"name": "x", "steps": [A, clean], "cleanup_timeout": 0.2})
    assert pipeline["cleanup_timeout"] == 0.2
    job = await house.submit(pipeline_id=pipeline["id"])
    assert job["cleanup_timeout"] == 0.2
    placed = scheduled(await house.queued(job, "a"))
    await house.say(started(placed))
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    await house.say(finished(placed, "cancelled", reason=Reason.CANCELLED))
    cleaning = scheduled(await house.queued(job, "clean"))
    await house.say(started(cleaning))
    request = await house.ears.wait(TaskCancelRequested, where=lambda one: one.reason is Reason.CLEANUP_TIMEOUT)
    assert [event.task_id for event in request] == [cleaning.task_id]
    await house.say(finished(cleaning, "cancelled", reason=Reason.CLEANUP_TIMEOUT))
    over = await house.over(job)
    assert over["status"] == "cancelled"
    assert [task["reason"] for task in over["tasks"]] == ["cancelled", "cleanup_timeout"]


async def test_a_job_says_why_it_is_being_stopped_until_it_has_ended(house: House) -> None:
    tidy = {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}
    job = await house.submit(pipeline_id=(await house.pipeline(A, tidy, timeout=0.5))["id"])
    assert job["stopping"] is None
    placed = scheduled(await house.queued(job, "a"))
    await house.say(started(placed))
    await house.ears.wait(TaskCancelRequested, where=lambda one: one.job_id == job["id"])
    assert (await house.get(f"/api/v1/jobs/{job['id']}"))["stopping"] == "job_timeout"
    await house.say(finished(placed, "cancelled", reason=Reason.JOB_TIMEOUT))
    await house.say(finished(scheduled(await house.queued(job, "tidy"))))
    over = await house.over(job)
    assert (over["reason"], over["stopping"]) == ("job_timeout", None)


async def test_others_are_not_asked_to_stop_clean_up_until_it_is_ended_as_well(house: House) -> None:
    clean = {"name": "clean", "command": "true", "depends_on": ["a"], "when": "always"}
    job = await house.submit(pipeline_id=(await house.pipeline(A, B, clean))["id"])
    placed = scheduled(await house.queued(job, "a"))
    await house.say(started(placed))
    await house.say(finished(placed))
    cleaning, other = scheduled(await house.queued(job, "clean")), scheduled(await house.queued(job, "b"))
    await house.say(started(cleaning))
    await house.say(started(other))
    store = RunStore(house.database)

    async def asked() -> dict[str, Reason | None]:
        later = now() + timedelta(hours=1)
        return {one.task_id: one.stopping for one in await store.overdue(JobStatus.RUNNING, later, START, 10)}

    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    assert await asked() == {cleaning.task_id: None, other.task_id: Reason.CANCELLED}
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    assert await asked() == {cleaning.task_id: Reason.CANCELLED, other.task_id: Reason.CANCELLED}


ASK = {"name": "ask", "type": "approval", "message": "deploy?", "timeout": 3600}


async def test_an_approval_waits_for_a_decision_and_keeps_it(house: House) -> None:
    pipeline = await house.pipeline(ASK, A | {"depends_on": ["ask"]})
    job = await house.submit(pipeline_id=pipeline["id"])
    assert job["status"] == "running"
    ask = job["tasks"][0]
    assert (ask["type"], ask["command"], ask["timeout"], ask["approval"]["message"]) == (
        "approval",
        None,
        3600,
        "deploy?",
    )
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    async with house.http.get(f"{house.url}/metrics") as answer:
        assert "hodei_approvals_waiting 1.0\n" in await answer.text()
    [waits] = await house.get("/api/v1/approvals")
    assert (waits["id"], waits["job_id"], waits["message"]) == (ask["id"], job["id"], "deploy?")
    [asked] = await house.ears.wait(TaskApprovalRequested)
    assert asked.deadline is not None
    decided = await house.call("POST", f"/api/v1/tasks/{ask['id']}/approve", {"by": "ana", "comment": "seen"})
    assert (decided["status"], decided["decision"]["by"]) == ("succeeded", "ana")
    problem = await house.call("POST", f"/api/v1/tasks/{ask['id']}/reject", {}, status=409)
    assert problem["detail"] == "step ask was approved before by ana"
    assert await house.get("/api/v1/approvals") == []
    await house.say(finished(scheduled(await house.queued(job, "a"))))
    over = await house.over(job)
    assert over["status"] == "succeeded"
    assert over["tasks"][0]["decision"] == decided["decision"]


async def test_the_inputs_of_an_approval_reach_the_steps_after_it(house: House) -> None:
    inputs = {
        "version": {"required": True, "description": "Which?"},
        "replicas": {"type": "integer", "default": 2},
        "token": {"type": "string"},
    }
    use = ["deploy", "${{ steps.ask.outputs.version }}", "${{ steps.ask.outputs.replicas }}"]
    go = {"name": "go", "command": use, "type": "exec", "depends_on": ["ask"], "if": "steps.ask.outputs.version != ''"}
    pipeline = await house.pipeline(ASK | {"inputs": inputs}, go)
    assert pipeline["steps"][0]["inputs"]["version"]["required"] is True
    job = await house.submit(pipeline_id=pipeline["id"])
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    path = f"/api/v1/tasks/{job['tasks'][0]['id']}"
    [waits] = await house.get("/api/v1/approvals")
    assert waits["inputs"] == job["tasks"][0]["approval"]["inputs"] == pipeline["steps"][0]["inputs"]
    for body, loc in (
        ({}, ["body", "inputs", "version"]),
        ({"inputs": {"version": "v1", "replicas": 1.5}}, ["body", "inputs", "replicas"]),
        ({"inputs": {"version": "v1", "x": ""}}, ["body", "inputs", "x"]),
    ):
        problem = await house.call("POST", f"{path}/approve", body, status=422)
        assert [error["loc"] for error in problem["errors"]] == [loc]
    problem = await house.call("POST", f"{path}/reject", {"inputs": {"version": "v1"}}, status=422)
    assert problem["errors"][0]["loc"] == ["body", "inputs"]
    given = {"version": "v1", "replicas": "3", "token": "geheim"}
    decided = await house.call("POST", f"{path}/approve", {"inputs": given})
    assert decided["decision"]["inputs"] == {"version": "v1", "replicas": 3, "token": "***"}
    assert (await house.queued(job, "go")).run.command == ["deploy", "v1", "3"]
    [approved] = await house.ears.wait(TaskApproved)
    assert approved.inputs == {"version": "v1", "replicas": 3, "token": "geheim"}
    await house.say(finished(scheduled(await house.queued(job, "go"))))
    ask = (await house.over(job))["tasks"][0]
    assert ask["decision"] == decided["decision"]
    assert ask["outputs"] == {"version": "v1", "replicas": "3", "token": "***"}
    assert not [one for one in await house.get(f"/api/v1/jobs/{job['id']}/events") if "inputs" in one["data"]]
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "go"})
    assert again["tasks"][0]["decision"] == decided["decision"]
    assert (await house.queued(again, "go")).run.command == ["deploy", "v1", "3"]


async def test_an_approval_is_not_asked_before_the_time_of_its_job(house: House) -> None:
    pipeline = await house.pipeline(ASK, A | {"depends_on": ["ask"]})
    later = now() + timedelta(seconds=0.5)
    job = await house.submit(pipeline_id=pipeline["id"], run_at=rfc3339(later))
    assert (job["status"], job["tasks"][0]["status"]) == ("pending", "pending")
    [asked] = await house.ears.wait(TaskApprovalRequested)
    assert asked.task_id == job["tasks"][0]["id"]
    assert now() >= later
    await house.call("POST", f"/api/v1/tasks/{asked.task_id}/approve", {})
    assert (await house.queued(job, "a")).run_at is None


async def test_only_what_waits_can_be_decided(house: House) -> None:
    pipeline = await house.pipeline(A, ASK | {"depends_on": ["a"]})
    job = await house.submit(pipeline_id=pipeline["id"])
    a, ask = job["tasks"]
    refusals = {
        "a": "step a is not an approval",
        "ask": "step ask is not asked yet: it waits for other steps, or for the job's run_at",
    }
    for task, detail in ((a, refusals["a"]), (ask, refusals["ask"])):
        problem = await house.call("POST", f"/api/v1/tasks/{task['id']}/approve", {}, status=409)
        assert problem["detail"] == detail
    for unknown in ("x", job["id"]):
        await house.call("POST", f"/api/v1/tasks/{unknown}/approve", {}, status=404)
    await house.call("POST", f"/api/v1/tasks/{ask['id']}/approve", {"by": "a\x1bb"}, status=422)


async def test_an_approval_that_is_not_decided_in_time_fails(house: House) -> None:
    pipeline = await house.pipeline(ASK | {"timeout": 0.2}, A | {"depends_on": ["ask"]})
    job = await house.submit(pipeline_id=pipeline["id"])
    over = await house.over(job)
    assert [(task["status"], task["reason"]) for task in over["tasks"]] == [
        ("failed", "timeout"),
        ("skipped", "dependency_failed"),
    ]
    assert over["detail"] == "step ask: it was not decided within 0.2 s"


async def test_the_time_of_an_approval_that_a_bad_expression_started_ends_too(house: House) -> None:
    bad = B | {"env": {"V": "${{ steps.a.outputs.GONE }}"}}
    pipeline = await house.pipeline(A, bad, ASK | {"depends_on": ["b"], "when": "on_failure", "timeout": 0.2})
    job = await house.submit(pipeline_id=pipeline["id"])
    placed = scheduled(await house.queued(job, "a"))
    await house.say(started(placed))
    await house.say(finished(placed))
    over = await house.over(job)
    assert [task["reason"] for task in over["tasks"]] == [None, "bad_expression", "timeout"]


async def test_a_step_is_skipped_by_its_condition(house: House) -> None:
    pipeline = await house.pipeline(
        A,
        {"name": "no", "command": "true", "depends_on": ["a"], "if": "params.stage == 'prod'"},
        {"name": "yes", "command": "true", "depends_on": ["no"], "if": "steps.no.status == 'skipped'"},
        {"name": "bad", "command": "true", "depends_on": ["a"], "if": "params.absent == 'x'", "allow_failure": True},
    )
    assert [step["if"] for step in pipeline["steps"][1:3]] == ["params.stage == 'prod'", "steps.no.status == 'skipped'"]
    job = await house.submit(pipeline_id=pipeline["id"], params={"stage": "dev"})
    await house.say(finished(scheduled(await house.queued(job, "a"))))
    await house.say(finished(scheduled(await house.queued(job, "yes"))))
    over = await house.over(job)
    assert over["status"] == "succeeded"
    assert [(task["status"], task["reason"], task["if"] is None) for task in over["tasks"]] == [
        ("succeeded", None, True),
        ("skipped", "condition", False),
        ("succeeded", None, False),
        ("failed", "bad_condition", False),
    ]
    assert over["tasks"][3]["detail"].endswith("the job has no parameter 'absent'; valid are stage")


async def test_a_lost_execution_runs_again_elsewhere(house: House) -> None:
    job = await house.submit()
    first = scheduled(await house.queued(job))
    await house.say(first)
    await house.say(started(first))
    await house.say(lost(first))
    order = await house.queued(job, attempt=2)
    assert (order.avoid_worker_ids, order.run.env["HODEI_ATTEMPT"]) == ([first.worker_id], "2")
    await house.say(finished(first))  # too late: that attempt no longer counts
    await house.say(finished(scheduled(order)))
    over = await house.over(job)
    [task] = over["tasks"]
    assert [(one["attempt"], one["status"]) for one in task["executions"]] == [(1, "lost"), (2, "succeeded")]


async def test_a_failure_is_tried_again_after_a_delay(house: House) -> None:
    job = await house.submit(retry={"max_attempts": 2, "delay": 60, "jitter": False})
    await house.say(finished(scheduled(await house.queued(job)), "failed", exit_code=1))
    order = await house.queued(job, attempt=2)
    assert order.run_at is not None
    assert 59 < (order.run_at - order.queued_at).total_seconds() <= 60
    await house.say(finished(scheduled(order), "failed", exit_code=1))
    assert (await house.over(job))["status"] == "failed"


async def test_what_a_worker_gave_back_is_closed_when_it_is_placed_again(house: House) -> None:
    job = await house.submit()
    order = await house.queued(job)
    first, second = scheduled(order), scheduled(order)
    await house.say(first)
    await house.say(second)
    await house.say(finished(second))
    [task] = (await house.over(job))["tasks"]
    assert [(one["status"], one["reason"]) for one in task["executions"]] == [
        ("cancelled", "returned"),
        ("succeeded", None),
    ]


@pytest.mark.parametrize("order_of_news", list(permutations(range(3))))
async def test_no_execution_stays_pending_in_a_job_that_is_over(house: House, order_of_news: tuple[int, ...]) -> None:
    job = await house.submit()
    order = await house.queued(job)
    first, second = scheduled(order), scheduled(order)
    news = [first, second, finished(second)]
    for index in order_of_news:
        await house.say(news[index])
    consumer = house.consumer("orchestrator-runs")
    await consumer.until(lambda: consumer.handled >= len(news))
    [task] = (await house.over(job))["tasks"]
    assert [(one["id"], one["status"], one["reason"]) for one in task["executions"]] == [
        (first.execution_id, "cancelled", "returned"),
        (second.execution_id, "succeeded", None),
    ]


async def test_cancel_ends_a_job_once_everything_has_stopped(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    order = await house.queued(job)
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    await house.ears.wait(TaskCancelRequested, where=lambda one: one.task_id == order.task_id)
    await house.say(TaskWithdrawn(task_id=order.task_id, job_id=order.job_id, attempt=1))
    over = await house.over(job)
    assert over["status"] == "cancelled"
    assert {task["status"] for task in over["tasks"]} == {"cancelled"}
    await house.ears.wait(JobCancelled)
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=409)


async def test_waiting_too_long_for_a_worker_fails_the_job(house: House) -> None:
    job = await house.submit(queue_timeout=5)
    order = await house.queued(job)
    assert order.queue_deadline is not None
    await house.say(TaskExpired(task_id=order.task_id, job_id=order.job_id, attempt=1))
    over = await house.over(job)
    assert (over["status"], over["reason"]) == ("failed", "queue_timeout")


async def test_a_job_that_takes_too_long_is_stopped_and_fails(house: House) -> None:
    pipeline = await house.pipeline(A, B, timeout=0.2)
    job = await house.submit(pipeline_id=pipeline["id"])
    order = await house.queued(job)
    [request] = await house.ears.wait(TaskCancelRequested)
    assert request.reason is Reason.JOB_TIMEOUT
    await house.say(finished(scheduled(order), "cancelled", exit_code=143))
    over = await house.over(job)
    assert (over["status"], over["reason"]) == ("failed", "job_timeout")


async def test_a_batch_of_reports_moves_many_jobs(house: House) -> None:
    jobs = await house.post("/api/v1/jobs/batch", [{"command": "true"}] * 300)
    orders = await house.ears.wait(TaskQueued, 300)
    placed = [scheduled(order) for order in orders]
    await house.say(*placed)
    await house.say(*[started(one) for one in placed])
    await house.say(*[finished(one) for one in placed])
    await house.over(jobs[0])
    for job in jobs:
        await house.over(job)
    assert len(await house.get("/api/v1/jobs?status=succeeded&limit=1000")) == 300


# ------------------------------------------------------------------ what schedules and direct executions ask for


async def test_tasks_with_64_kib_of_outputs_each_end_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "max_payload", property(lambda _: LEAST_PAYLOAD))
    outputs = {"A": "\x01" * (MAX_OUTPUTS - 3)}
    made = await house.pipeline(*({"name": f"s{number}", "command": "true"} for number in range(12)))
    job = await house.submit(pipeline_id=made["id"])
    orders = await house.ears.wait(TaskQueued, 12)
    for order in orders:
        await house.say(finished(scheduled(order), outputs=outputs))
    assert [task["outputs"] for task in (await house.over(job))["tasks"]] == [outputs] * 12
    ends = await house.ears.wait(TaskSucceeded, 12)
    assert {one.task_id for one in ends if one.outputs == outputs} == {order.task_id for order in orders}


async def test_a_schedule_is_confirmed_or_refused(house: House) -> None:
    job = await house.submit()
    good, bad = new_id(), new_id()
    await house.say(
        ScheduleCreated(schedule_id=good, target=JobTarget(job_id=job["id"])),
        ScheduleCreated(schedule_id=bad, target=JobTarget(pipeline_id=new_id())),
    )
    assert (await house.ears.wait(ScheduleConfirmed))[0].schedule_id == good
    [refused] = await house.ears.wait(ScheduleRefused)
    assert (refused.schedule_id, refused.reason) == (bad, RefusalReason.NOT_FOUND)


async def test_a_schedule_that_fires_makes_its_job_once(house: House) -> None:
    moment = (await house.submit())["created_at"]
    fired = ScheduleFired.model_validate(
        {
            "schedule_id": new_id(),
            "job_id": new_id(),
            "target": {"command": {"command": "echo scheduled"}, "priority": "high"},
            "due_at": moment,
        }
    )
    await house.say(fired)
    await house.say(fired)
    order = await house.queued({"id": fired.job_id})
    assert (order.run.command, order.priority) == ("echo scheduled", "high")
    found = await house.get(f"/api/v1/jobs?schedule_id={fired.schedule_id}")
    assert [job["id"] for job in found] == [fired.job_id]


async def test_a_direct_execution_gets_the_ids_that_were_promised(house: House) -> None:
    asked = ExecutionRequested(
        execution_id=new_id(),
        task_id=new_id(),
        job_id=new_id(),
        attempt=1,
        target=JobTarget(command=CommandSpec(command="echo now")),
    )
    await house.say(asked)
    order = await house.queued({"id": asked.job_id})
    assert (order.task_id, order.execution_id) == (asked.task_id, asked.execution_id)


async def test_a_direct_execution_of_a_job_without_steps_is_over_at_once(house: House) -> None:
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    job = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]})
    asked = ExecutionRequested(
        execution_id=new_id(), task_id=new_id(), job_id=new_id(), attempt=1, target=JobTarget(job_id=job["id"])
    )
    await house.say(asked)
    [completed] = await house.ears.wait(ExecutionCompleted)
    assert (completed.execution_id, completed.job_id) == (asked.execution_id, asked.job_id)
    assert (await house.get(f"/api/v1/jobs/{asked.job_id}"))["status"] == "succeeded"


async def test_a_direct_execution_of_nothing_is_refused(house: House) -> None:
    asked = ExecutionRequested(
        execution_id=new_id(), task_id=new_id(), job_id=new_id(), attempt=1, target=JobTarget(job_id=new_id())
    )
    await house.say(asked)
    [refused] = await house.ears.wait(ExecutionRefused)
    assert (refused.execution_id, refused.reason) == (asked.execution_id, RefusalReason.NOT_FOUND)


async def test_a_direct_execution_of_a_job_of_another_token_is_refused(house: House) -> None:
    job = await house.submit()  # of no token: access is off
    asked = ExecutionRequested(
        execution_id=new_id(),
        task_id=new_id(),
        job_id=new_id(),
        attempt=1,
        target=JobTarget(job_id=job["id"], only_of=new_id()),
    )
    await house.say(asked)
    [refused] = await house.ears.wait(ExecutionRefused)
    assert (refused.execution_id, refused.reason) == (asked.execution_id, RefusalReason.FORBIDDEN)
    await house.get(f"/api/v1/jobs/{asked.job_id}", status=404)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"type": "approval"}, "step s runs nothing: it is an approval"),
        ({"command": "true", "if": "params.go == 'yes'"}, "step s runs nothing: it is skipped (condition)"),
        (
            {"command": "true", "env": {"V": "${{ params.gone }}"}},
            "step s runs nothing: it is failed (bad_expression): env.V: the job has no parameter 'gone'",
        ),
    ],
)
async def test_a_direct_execution_of_a_job_that_runs_nothing_is_refused(
    house: House, step: dict[str, object], says: str
) -> None:
    pipeline = await house.pipeline({"name": "s", **step})
    job = await house.submit(pipeline_id=pipeline["id"], params={"go": "no"})
    asked = ExecutionRequested(
        execution_id=new_id(), task_id=new_id(), job_id=new_id(), attempt=1, target=JobTarget(job_id=job["id"])
    )
    await house.say(asked)
    [refused] = await house.ears.wait(ExecutionRefused)
    assert (refused.execution_id, refused.reason) == (asked.execution_id, RefusalReason.INVALID)
    assert says in (refused.detail or "")
    await house.get(f"/api/v1/jobs/{asked.job_id}", status=404)


async def test_a_job_of_an_archived_pipeline_is_refused_to_schedules_and_executions(house: House) -> None:
    pipeline = await house.pipeline({"name": "a", "command": "true"})
    job = await house.submit(pipeline_id=pipeline["id"])
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    target = JobTarget(job_id=job["id"])
    created = ScheduleCreated(schedule_id=new_id(), target=target)
    fired = ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target, due_at=now())
    asked = ExecutionRequested(execution_id=new_id(), task_id=new_id(), job_id=new_id(), attempt=1, target=target)

    for request in (created, fired, asked):
        await house.say(request)

    refused = await house.ears.wait(ScheduleRefused, 2)
    says = f"the pipeline of job {job['id']} is archived: its jobs do not run again"
    assert {(one.schedule_id, one.job_id, one.reason, one.detail) for one in refused} == {
        (created.schedule_id, None, RefusalReason.CONFLICT, says),
        (fired.schedule_id, fired.job_id, RefusalReason.CONFLICT, says),
    }
    [refusal] = await house.ears.wait(ExecutionRefused)
    assert (refusal.execution_id, refusal.reason, refusal.detail) == (
        asked.execution_id,
        RefusalReason.CONFLICT,
        says,
    )


# ------------------------------------------------------------------ live


@asynccontextmanager
async def stream(house: House, path: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Server-sent events as dictionaries of their fields; like a browser's, without those that have no data."""

    async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
        event: dict[str, str] = {}
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if not line and event:
                if "data" in event:
                    yield event
                event = {}
            elif line:
                name, _, value = line.partition(": ")
                event[name] = value

    async with (
        asyncio.timeout(DEADLINE),
        house.http.get(house.url + path, headers={"Accept": "text/event-stream", **headers}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield events(answer)


async def test_a_timeline_is_followed_to_its_end_and_resumed(house: House) -> None:
    job = await house.submit()
    path = f"/api/v1/jobs/{job['id']}/events"
    seen: list[dict[str, str]] = []
    async with stream(house, path) as events:
        async for event in events:
            seen.append(event)
            if event["event"] == "tasks.queued":
                await house.say(finished(scheduled(await house.queued(job))))
    kinds = [event["event"] for event in seen]
    assert kinds[0] == "jobs.created"
    assert kinds[-2:] == ["jobs.succeeded", "end"]
    async with stream(house, path, **{"Last-Event-ID": seen[1]["id"]}) as events:
        assert [event["event"] async for event in events] == kinds[2:]


async def test_logs_are_shown_whole_and_live(house: House) -> None:
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    path = f"/api/v1/jobs/{job['id']}/logs"
    seen: list[str] = []

    async def run(name: str) -> None:
        placed = scheduled(await house.queued(job, name))
        await house.say(placed)
        await house.say(started(placed))
        await publish_log(house.bus, chunk(placed, 1, f"{name} one", f"{name} two"), placed.worker_id)
        await publish_log(house.bus, chunk(placed, 2, f"{name} three"), placed.worker_id)
        await house.say(finished(placed, chunks=2))

    async with stream(house, path) as events:
        running = asyncio.create_task(_in_turn(run("a"), run("b")))
        async for event in events:
            seen.append(event["data"] if event.get("event") == "end" else event["data"].split('"message":"')[1][:-2])
        await running
    expected = ["a one", "a two", "a three", "b one", "b two", "b three"]
    assert seen == [*expected, '{"expired":false}']
    shown: dict[str, Any] = await house.get(path)
    assert [line["message"] for line in shown["logs"]] == expected
    assert (shown["logs"][0]["task"], shown["truncated"]) == ("a", False)
    async with house.http.get(house.url + path, headers={"Accept": "text/plain"}) as answer:
        assert await answer.text() == "".join(f"{line}\n" for line in expected)


async def _in_turn(*steps: Any) -> None:
    for step in steps:
        await step


async def test_what_another_service_is_asked_about_is_what_waits_for_long(house: House) -> None:
    job = await house.submit()
    later = await house.submit(run_at="2100-01-01T00:00:00Z")
    order = await house.queued(job)
    await house.queued(later)
    store = RunStore(house.database)
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    work = _elsewhere(house, outbox)
    asked: list[RecallQuestion] = []

    async def never_heard_of(question: RecallQuestion) -> RecallAnswer:
        asked.append(question)
        return RecallAnswer(unknown=[one.task_id for one in question.overdue])

    answering = Answering(house.bus, questions_asked(Metrics()), [answer(RECALL_OF["scheduler"], never_heard_of)])
    await outbox.start()
    await answering.start()
    await house.bus.flush()
    try:
        unheard = Unheard(work, store, Recall(house.bus, Metrics()), late=lambda: 0.0, lease=0.0)
        assert await unheard.run_once() == {"asked": 1, "queued_again": 1}
        assert [one.task_id for one in asked[0].overdue] == [order.task_id]
        again = await house.ears.wait(TaskQueued, 2, where=lambda one: one.job_id == job["id"])
        assert again[1] == order
        unheard = Unheard(work, store, Recall(house.bus, Metrics()), late=lambda: 0.0, lease=60.0)
        assert await unheard.run_once() == {}, "nothing has waited for so long"
        unheard = Unheard(work, store, Recall(house.bus, Metrics()), late=lambda: 9.0, lease=0.0)
        assert await unheard.run_once() == {}, "what it waits for may be among the reports that come late"
    finally:
        await answering.stop()
        await outbox.stop()


async def test_it_answers_how_far_a_task_is_and_what_that_waits_for(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(A, B, C))["id"])
    first, second, third = (task["id"] for task in job["tasks"])
    placed = scheduled(await house.queued(job, "a"))
    await house.say(placed)
    await house.say(started(placed))
    await house.ears.wait(JobStarted, where=lambda event: event.job_id == job["id"])

    runs = await ask(house.bus, TASK, TaskQuestion(task_id=first))
    assert (runs.status, runs.execution_id, runs.worker_id) == (
        TaskStatus.RUNNING,
        placed.execution_id,
        placed.worker_id,
    )
    waits = await ask(house.bus, TASK, TaskQuestion(task_id=second))
    assert [(one.name, one.status, one.satisfied) for one in waits.depends_on] == [("a", TaskStatus.RUNNING, False)]

    await house.say(finished(placed, "failed", exit_code=3))
    await house.over(job)
    skipped = await ask(house.bus, TASK, TaskQuestion(task_id=third))
    assert [(one.name, one.status) for one in skipped.depends_on] == [("b", TaskStatus.SKIPPED)]
    for unknown in (new_id(), "nonsense"):
        with pytest.raises(NotFound):
            await ask(house.bus, TASK, TaskQuestion(task_id=unknown))
