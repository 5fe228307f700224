"""With access on, entities and events name the token with which they were made, changed and ended."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.access import Role
from schemas.events import (
    EventData,
    ExecutionRequested,
    JobCancelled,
    JobCancelRequested,
    JobCreated,
    JobDeleted,
    JobReprioritized,
    JobTarget,
    PipelineArchived,
    PipelineCreated,
    PipelineUpdated,
    ScheduleFired,
    TaskApproved,
    TaskRejected,
)
from schemas.specs import CommandSpec
from shared.clock import now
from shared.ids import new_id
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.orchestrator.conftest import House

__all__ = ["callers"]


@pytest.fixture
def ana(callers: Callers) -> Caller:
    return callers.caller("ana")


@pytest.fixture
def ben(callers: Callers) -> Caller:
    return callers.caller("ben", Role.SUBMITTER)


async def submit(house: House, who: Caller, **fields: object) -> Any:
    return await house.post("/api/v1/jobs", {"command": "true"} | fields, headers=who.headers)


async def ids(house: House, path: str, who: Caller) -> list[str]:
    return [one["id"] for one in await house.get(f"/api/v1/{path}", headers=who.headers)]


async def heard(house: House, kind: type[EventData], entity_id: str) -> Any:
    [event] = await house.ears.wait(kind, where=lambda one: one.entity_id() == entity_id)
    return event


async def test_a_pipeline_and_its_versions_name_their_creators(callers: Callers, house: House) -> None:
    ana, cleo = callers.caller("ana"), callers.caller("cleo")
    made = await house.post("/api/v1/pipelines", {"name": "build"}, headers=ana.headers)
    path = f"/api/v1/pipelines/{made['id']}"
    changed = await house.call("PUT", path, {"name": "build"}, headers=cleo.headers)

    assert made["created_by"] == made["updated_by"] == ana.shown
    assert (changed["created_by"], changed["updated_by"]) == (ana.shown, cleo.shown)
    versions = await house.get(f"{path}/versions", headers=ana.headers)
    assert [(one["version"], one["updated_by"]["name"]) for one in versions] == [(2, "cleo"), (1, "ana")]
    for value in ("ana", ana.actor.id, ana.actor.id.upper()):
        assert await ids(house, f"pipelines?created_by={value}", ana) == [made["id"]]
        assert await ids(house, f"pipelines?updated_by={value}", ana) == []
        [first] = await house.get(f"{path}/versions?updated_by={value}", headers=ana.headers)
        assert first["version"] == 1
    assert await ids(house, "pipelines?created_by=cleo", ana) == []
    assert await house.get(f"{path}/versions?updated_by=nobody", headers=ana.headers) == []

    await house.call("DELETE", path, status=204, headers=cleo.headers)
    assert (await heard(house, PipelineCreated, made["id"])).created_by == ana.actor
    assert (await heard(house, PipelineUpdated, made["id"])).updated_by == cleo.actor
    assert (await heard(house, PipelineArchived, made["id"])).archived_by == cleo.actor


async def test_a_job_names_who_submitted_it_in_every_answer_and_in_its_timeline(
    ana: Caller, ben: Caller, house: House
) -> None:
    job = await submit(house, ben)
    batch = await house.post("/api/v1/jobs/batch", [{"command": "true"}] * 2, headers=ben.headers)

    assert [one["created_by"] for one in (job, *batch)] == [ben.shown] * 3
    assert (await house.get(f"/api/v1/jobs/{job['id']}", headers=ana.headers))["created_by"] == ben.shown
    for value in ("ben", ben.actor.id):
        found = await house.get(f"/api/v1/jobs?created_by={value}", headers=ana.headers)
        assert [one["id"] for one in found] == [batch[1]["id"], batch[0]["id"], job["id"]]
        assert all(one["created_by"] == ben.shown and one["cancelled_by"] is None for one in found)
    assert await ids(house, "jobs?created_by=ana", ana) == []
    assert (await heard(house, JobCreated, job["id"])).created_by == ben.actor
    [created, *_] = await house.get(f"/api/v1/jobs/{job['id']}/events", headers=ana.headers)
    assert created["data"]["created_by"] == ben.shown


async def test_the_jobs_of_a_token_are_listed_whatever_their_status(ana: Caller, ben: Caller, house: House) -> None:
    nothing, approval = {"name": "p", "steps": []}, {"name": "p", "steps": [{"name": "ask", "type": "approval"}]}
    jobs = [
        await house.post("/api/v1/jobs", fields, headers=who.headers)
        for fields in ({"pipeline": nothing}, {"pipeline": approval}, {"command": "true"})
        for who in (ben, ana, ben)
    ]
    path = f"jobs?created_by={ben.actor.id}"
    wanted = [job["id"] for job in reversed(jobs) if job["created_by"] == ben.shown]

    listed = await house.get(f"/api/v1/{path}", headers=ana.headers)
    assert [one["id"] for one in listed] == await ids(house, "jobs?created_by=ben", ana) == wanted
    assert [one["status"] for one in listed] == ["pending"] * 2 + ["running"] * 2 + ["succeeded"] * 2
    by_status = {
        status: await ids(house, f"{path}&status={status}", ana) for status in ("pending", "running", "succeeded")
    }
    assert by_status == {"pending": wanted[:2], "running": wanted[2:4], "succeeded": wanted[4:]}
    assert await ids(house, f"{path}&status=running&status=succeeded", ana) == wanted[2:]
    assert await ids(house, f"{path}&status=failed", ana) == []

    pages = [page async for page in house.pages(f"/api/v1/{path}&limit=1", headers=ana.headers)]
    assert [[one["id"] for one in page] for page in pages] == [[id] for id in wanted]

    body = {"filter": {"created_by": "ben"}, "dry_run": True}
    trials = [
        await house.post(f"/api/v1/jobs/{verb}", body, status=200, headers=ana.headers) for verb in ("cancel", "delete")
    ]
    assert [trial["matched"] for trial in trials] == [4, 2]


async def test_a_rerun_is_of_the_one_who_requested_it(ana: Caller, ben: Caller, house: House) -> None:
    job = await house.post("/api/v1/jobs", {"pipeline": {"name": "nothing to run"}}, headers=ben.headers)

    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {}, headers=ana.headers)

    assert again["created_by"] == ana.shown


async def test_changes_and_the_cancel_of_a_job_name_who_requested_them(ana: Caller, ben: Caller, house: House) -> None:
    job = await submit(house, ben, run_at="2998-01-01T00:00:00Z")
    path = f"/api/v1/jobs/{job['id']}"
    await house.queued(job)
    await house.call("PATCH", path, {"priority": "high"}, headers=ana.headers)
    await house.call("POST", f"{path}/cancel", status=202, headers=ana.headers)

    assert (await heard(house, JobReprioritized, job["id"])).changed_by == ana.actor
    assert (await heard(house, JobCancelRequested, job["id"])).cancelled_by == ana.actor
    shown = await house.get(path, headers=ben.headers)
    assert (shown["created_by"], shown["cancelled_by"]) == (ben.shown, ana.shown)
    for value in ("ana", ana.actor.id):
        assert await ids(house, f"jobs?cancelled_by={value}", ana) == [job["id"]]
    assert await ids(house, "jobs?cancelled_by=ben", ana) == []


async def test_the_end_of_a_cancelled_job_and_its_deletion_name_who_requested_them(
    ana: Caller, ben: Caller, house: House
) -> None:
    pipeline = {"name": "p", "steps": [{"name": "ask", "type": "approval"}]}
    job = await house.post("/api/v1/jobs", {"pipeline": pipeline}, headers=ben.headers)
    await house.call("POST", f"/api/v1/jobs/{job['id']}/cancel", status=202, headers=ben.headers)

    assert (await heard(house, JobCancelled, job["id"])).cancelled_by == ben.actor
    await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=204, headers=ana.headers)
    assert (await heard(house, JobDeleted, job["id"])).deleted_by == ana.actor


async def test_a_submitter_cancels_and_changes_only_its_own_jobs(callers: Callers, house: House) -> None:
    ben, namesake = (callers.caller("ben", Role.SUBMITTER) for _ in range(2))
    job = await submit(house, ben)
    path = f"/api/v1/jobs/{job['id']}"

    for method, at, body in (("POST", f"{path}/cancel", None), ("PATCH", path, {"priority": "high"})):
        problem = await house.call(method, at, body, status=403, headers=namesake.headers)
        assert problem["role"] == "operator"
    shown = await house.get(path, headers=ben.headers)
    assert (shown["priority"], shown["cancelled_by"]) == ("normal", None)

    await house.call("PATCH", path, {"priority": "high"}, headers=ben.headers)
    await house.call("POST", f"{path}/cancel", status=202, headers=ben.headers)


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_decision_names_the_token_besides_whom_the_request_names(
    ana: Caller, ben: Caller, house: House, verb: str
) -> None:
    pipeline = {"name": "p", "steps": [{"name": "ask", "type": "approval"}]}
    job = await house.post("/api/v1/jobs", {"pipeline": pipeline}, headers=ben.headers)
    task_id = job["tasks"][0]["id"]

    decided = await house.post(f"/api/v1/tasks/{task_id}/{verb}", {"by": "dora"}, status=200, headers=ana.headers)

    assert (decided["decision"]["by"], decided["decision"]["decided_by"]) == ("dora", ana.shown)
    [task] = (await house.get(f"/api/v1/jobs/{job['id']}", headers=ben.headers))["tasks"]
    assert task["decision"]["decided_by"] == ana.shown
    event = await heard(house, TaskApproved if verb == "approve" else TaskRejected, task_id)
    assert (event.by, event.decided_by) == ("dora", ana.actor)
    if verb == "reject":
        assert task["detail"] == "rejected by dora (token ana)"
    again = await house.post(f"/api/v1/tasks/{task_id}/{verb}", {}, status=409, headers=ana.headers)
    assert "before by dora (token ana)" in again["detail"]


async def test_jobs_that_other_services_ask_for_are_of_those_who_asked_them(
    ana: Caller, ben: Caller, house: House
) -> None:
    target = JobTarget(command=CommandSpec(command="true"))
    of_schedule, of_execution = new_id(), new_id()
    await house.say(
        ScheduleFired(
            schedule_id=new_id(),
            job_id=of_schedule,
            target=target,
            due_at=now(),
            created_by=ben.actor,
            triggered_by=ana.actor,
        )
    )
    await house.say(
        ExecutionRequested(
            execution_id=new_id(), task_id=new_id(), job_id=of_execution, attempt=1, target=target, created_by=ana.actor
        )
    )

    assert (await heard(house, JobCreated, of_schedule)).created_by == ben.actor
    assert (await heard(house, JobCreated, of_execution)).created_by == ana.actor
    assert await ids(house, "jobs?created_by=ben", ana) == [of_schedule]
    assert await ids(house, f"jobs?created_by={ana.actor.id}", ana) == [of_execution]
