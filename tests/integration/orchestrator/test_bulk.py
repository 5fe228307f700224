"""Many jobs are cancelled, run again and deleted by one request, and those that are left are named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hodei.client import Client
from orchestrator.api import bulk
from schemas.access import Role
from schemas.model import rfc3339
from shared.ids import new_id
from tests.fixtures.access import Callers, callers
from tests.integration.orchestrator.conftest import House, Scheduler, finished, scheduled

__all__ = ["callers"]
LATER = rfc3339(datetime.now(UTC) + timedelta(hours=1))


async def many(house: House, verb: str, body: object, **options: Any) -> Any:
    return await house.post(f"/api/v1/jobs/{verb}", body, **({"status": 200} | options))


async def failed(house: House, **fields: object) -> str:
    job = await house.submit(**fields)
    await house.say(finished(scheduled(await house.queued(job)), "failed", exit_code=1))
    await house.over(job)
    return str(job["id"])


async def test_jobs_are_cancelled_by_a_filter(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    mine = [(await house.submit(name=f"mine-{n}", run_at=LATER))["id"] for n in range(5)]
    other = (await house.submit(name="other", run_at=LATER))["id"]
    body = {"filter": {"name": "mine-*"}}

    assert await many(house, "cancel", body | {"dry_run": True}) == {
        "matched": 5, "done": 0, "refused": [], "more": False, "cursor": None, "ids": [],
    }  # fmt: skip
    first = await many(house, "cancel", body | {"limit": 3})
    assert (first["matched"], first["done"], first["more"]) == (3, 3, True)
    rest = await many(house, "cancel", body | {"limit": 3, "cursor": first["cursor"]})
    assert (rest["matched"], rest["done"], rest["more"], rest["cursor"]) == (2, 2, False, None)

    timelines = [[one["type"] for one in await house.get(f"/api/v1/jobs/{id}/events")] for id in (*mine, other)]
    assert [types.count("jobs.cancel_requested") for types in timelines] == [1, 1, 1, 1, 1, 0]


async def test_what_cannot_be_cancelled_is_named(house: House) -> None:
    open_, over, unknown = (await house.submit())["id"], await failed(house), new_id()

    answer = await many(house, "cancel", {"ids": [open_, over, unknown, open_.upper(), "x"]})

    assert (answer["matched"], answer["done"], answer["more"]) == (4, 1, False)
    assert {one["id"]: one["detail"] for one in answer["refused"]} == {
        over: "it has already ended: failed", unknown: "it does not exist", "x": "it does not exist",
    }  # fmt: skip
    assert (await many(house, "cancel", {"filter": {"status": ["failed"]}}))["matched"] == 0


async def test_jobs_are_run_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = await house.pipeline({"name": "main", "command": "true"})
    archived = await failed(house, pipeline_id=pipeline["id"])
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    old = [await failed(house) for _ in range(2)]
    body = {"filter": {"status": ["failed", "running"]}, "from": "failed"}

    assert (await many(house, "rerun", body | {"dry_run": True}))["matched"] == 3
    key = {"Idempotency-Key": "once"}
    answer = await many(house, "rerun", body, headers=key)
    assert (answer["matched"], answer["done"], answer["more"]) == (3, 2, False)
    assert [one["id"] for one in answer["refused"]] == [archived]
    assert "archived" in answer["refused"][0]["detail"]
    assert [(await house.get(f"/api/v1/jobs/{id}"))["rerun_of"] for id in answer["ids"]] == old[::-1]
    assert await many(house, "rerun", body, headers=key) == answer
    assert len(await house.get("/api/v1/jobs")) == 5

    monkeypatch.setattr(bulk, "TASKS", 1)
    first = await many(house, "rerun", {"filter": {"status": ["failed"]}})
    assert (first["done"], first["more"]) == (1, True)
    rest = await many(house, "rerun", {"filter": {"status": ["failed"]}, "cursor": first["cursor"]})
    assert (rest["done"], rest["refused"][0]["id"], rest["more"]) == (1, archived, False)


async def test_what_a_request_by_ids_leaves_is_looked_at_once(
    house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.needs = set()
    old, unknown = [await failed(house) for _ in range(3)], new_id()
    monkeypatch.setattr(bulk, "TASKS", 0)  # each request runs one job again
    first = await many(house, "rerun", {"ids": [*old, unknown]})
    assert (first["matched"], first["done"], first["more"]) == (2, 1, True)
    assert [one["id"] for one in first["refused"]] == [unknown]
    rest = await many(house, "rerun", {"ids": [*old, unknown], "cursor": first["cursor"]})
    assert (rest["matched"], rest["done"], rest["refused"], rest["more"]) == (1, 1, [], True)

    async with Client(house.url) as client:
        again = await client.rerun_jobs([*old, unknown])
        assert (again.matched, again.done, [one.id for one in again.refused]) == (4, 3, [unknown])
        assert [(await client.job(id)).rerun_of for id in again.ids] == old[::-1]
        monkeypatch.setattr(bulk, "AT_ONCE", 1)
        monkeypatch.setattr(bulk, "LONGEST", 0.0)  # each request ends after one transaction
        new = [*first["ids"], *rest["ids"], *again.ids]
        assert (await client.cancel_jobs(new)).done == 5
        assert (await client.delete_selected_jobs(old)).done == 3


async def test_jobs_are_deleted(house: House, scheduler: Scheduler) -> None:
    old, kept = [await failed(house) for _ in range(2)], await failed(house)
    open_ = (await house.submit())["id"]
    scheduler.needs = {kept}

    assert (await many(house, "delete", {"ids": [*old, open_], "dry_run": True}))["matched"] == 3
    answer = await many(house, "delete", {"ids": [old[0], open_]})
    assert (answer["done"], answer["refused"]) == (
        1,
        [{"id": open_, "detail": "it is pending: cancel it first, or wait"}],
    )
    answer = await many(house, "delete", {"filter": {}})
    assert (answer["done"], answer["refused"]) == (1, [{"id": kept, "detail": "a schedule will run it again"}])
    assert [one["id"] for one in await house.get("/api/v1/jobs")] == [open_, kept]
    assert (await house.get("/api/v1/jobs/counts"))["total"] == 2


async def test_a_submitter_changes_only_its_own_jobs(callers: Callers, house: House) -> None:
    ben, cleo = callers.caller("ben", Role.SUBMITTER), callers.caller("cleo", Role.SUBMITTER)
    mine, others = [
        (await house.post("/api/v1/jobs", {"command": "true"}, headers=who.headers))["id"] for who in (ben, cleo)
    ]
    for verb, body in (("cancel", {"filter": {}}), ("rerun", {"ids": [others]})):
        answer = await many(house, verb, body, headers=ben.headers)
        assert [one["id"] for one in answer["refused"]] == [others]
        assert "created by another token" in answer["refused"][0]["detail"]
    assert "jobs.cancel_requested" in [
        one["type"] for one in await house.get(f"/api/v1/jobs/{mine}/events", headers=ben.headers)
    ]
    await many(house, "delete", {"ids": [mine]}, headers=ben.headers, status=403)


async def test_a_trial_counts_what_a_submitter_may_change(callers: Callers, house: House) -> None:
    ben, cleo = callers.caller("ben", Role.SUBMITTER), callers.caller("cleo", Role.SUBMITTER)
    mine, others = [
        (await house.post("/api/v1/jobs", {"command": "true"}, headers=who.headers))["id"] for who in (ben, cleo)
    ]
    chosen: tuple[tuple[dict[str, Any], int], ...] = (
        ({"filter": {}}, 1),
        ({"filter": {"created_by": "ben"}}, 1),
        ({"filter": {"created_by": "cleo"}}, 0),
        ({"ids": [mine, others]}, 1),
    )
    for body, matched in chosen:
        assert (await many(house, "cancel", body | {"dry_run": True}, headers=ben.headers))["matched"] == matched, body


async def test_the_client_goes_through_all_pages(house: House) -> None:
    for _ in range(3):
        await house.submit(labels={"team": "web"}, run_at=LATER)
    async with Client(house.url) as client:
        assert await client.count_selected_jobs("cancel", label=["team=web"], status="pending") == 3
        assert (await client.cancel_jobs(label=["team=web"], created_before=datetime.now(UTC))).done == 3
        with pytest.raises(TypeError, match="not by both"):
            await client.cancel_jobs([new_id()], name="x")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [new_id()], "filter": {}},
        {"ids": [new_id()], "cursor": "x"},
        {"filter": {"status": ["gone"]}},
        {"filter": {}, "limit": 0},
        {"filter": {}, "cursor": "x"},
    ],
)
async def test_a_selection_is_checked(house: House, body: object) -> None:
    for verb in ("cancel", "rerun", "delete"):
        errors = (await many(house, verb, body, status=422))["errors"]
        assert all(one["loc"][0] == "body" for one in errors), verb
