"""Many jobs are cancelled, run again and deleted by one request, and those that are left are named."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hodei.client import Client
from orchestrator import unreadable
from orchestrator.api import bulk
from orchestrator.domain import concurrency
from orchestrator.room import JobRoom
from orchestrator.store.jobs import JobStore, Selected
from orchestrator.unit_of_work import UnitOfWork
from schemas.access import Role
from schemas.model import rfc3339
from schemas.states import Reason
from shared.ids import new_id
from tests.fixtures.access import Callers, callers
from tests.integration.orchestrator.conftest import House, Scheduler, finished, scheduled, started

__all__ = ["callers"]
A = {"name": "a", "command": "true"}
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


async def test_a_trial_by_ids_answers_what_the_request_would_do(house: House) -> None:
    open_, over, unknown = (await house.submit(run_at=LATER))["id"], await failed(house), new_id()
    for verb, matched, refused, why in (("cancel", open_, over, "already ended"), ("rerun", over, open_, "not over")):
        body = {"ids": [open_, over, unknown]}
        trial = await many(house, verb, body | {"dry_run": True})
        answer = await many(house, verb, body)
        assert (trial["matched"], trial["done"]) == (answer["done"], 0) == (1, 0)
        assert trial["refused"] == answer["refused"]
        assert {one["id"] for one in trial["refused"]} == {refused, unknown}, matched
        assert why in next(one["detail"] for one in trial["refused"] if one["id"] == refused)
    trial = await many(house, "rerun", {"ids": [over], "from": "gone", "dry_run": True})
    assert (trial["matched"], [one["id"] for one in trial["refused"]]) == (0, [over])


async def test_a_job_that_is_deleted_meanwhile_is_named(
    house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, old = await failed(house), await failed(house)
    delete = UnitOfWork.delete

    async def after_another(work: UnitOfWork, job_ids: Collection[str], **options: Any) -> list[str]:
        await delete(work, [gone])
        return await delete(work, job_ids, **options)

    assert not scheduler.away
    monkeypatch.setattr(UnitOfWork, "delete", after_another)
    answer = await many(house, "delete", {"ids": [gone, old]})

    assert (answer["matched"], answer["done"]) == (2, 1)
    assert answer["refused"] == [{"id": gone, "detail": "it was deleted"}]


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


async def test_a_job_of_which_nothing_failed_is_left_by_a_rerun_from_failed(house: House) -> None:
    empty = await house.post("/api/v1/jobs", {"pipeline": {"name": "nothing to run"}})
    old = await failed(house)
    body = {"ids": [empty["id"], old], "from": "failed"}
    detail = f"nothing of job {empty['id']} failed: run it again from the start, or from a step"
    for trial in ({"dry_run": True}, {}):
        answer = await many(house, "rerun", body | trial)
        assert answer["refused"] == [{"id": empty["id"], "detail": detail}]
    assert answer["done"] == 1


async def test_a_job_whose_key_is_full_is_left_and_the_others_run_again(house: House) -> None:
    full = {"concurrency_key": "k", "concurrency": {"limit": 1, "when_full": "reject"}}
    keyed = [await failed(house, **full) for _ in range(3)]
    free = [await failed(house) for _ in range(2)]

    answer = await many(house, "rerun", {"ids": [*keyed, *free]})

    assert (answer["matched"], answer["done"], answer["more"]) == (5, 3, False)
    new = {one["rerun_of"]: one["id"] for one in [await house.get(f"/api/v1/jobs/{id}") for id in answer["ids"]]}
    assert [*new] == [*free[::-1], keyed[-1]]  # the newest first
    assert [one["id"] for one in answer["refused"]] == keyed[1::-1]
    for one in answer["refused"]:
        assert one["detail"].startswith("the concurrency key 'k' lets at most 1 job at a time run, and job ")
        assert new[keyed[-1]] in one["detail"]
    assert len(await house.get("/api/v1/jobs?status=pending")) == 3

    rest = await many(house, "rerun", {"ids": keyed[:2]})
    assert (rest["done"], rest["ids"], len(rest["refused"])) == (0, [], 2)


async def test_a_job_for_whose_key_too_many_wait_is_left(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = {"concurrency_key": "k", "concurrency": {"limit": 1, "when_full": "queue"}}
    keyed = [await failed(house, **queued) for _ in range(3)]
    free = await failed(house)
    monkeypatch.setattr(concurrency, "MAX_WAITING", 1)

    answer = await many(house, "rerun", {"ids": [*keyed, free]})

    assert answer["done"] == 3
    assert answer["refused"] == [
        {"id": keyed[0], "detail": "1 jobs wait for the concurrency key 'k' already; a key has at most that many"}
    ]


async def test_a_job_that_would_end_another_tokens_is_left(callers: Callers, house: House) -> None:
    ben, eve = callers.caller("ben", Role.SUBMITTER), callers.caller("eve", Role.SUBMITTER)
    oldest = {"concurrency_key": "k", "concurrency": {"limit": 1, "when_full": "cancel_oldest"}}
    ends: dict[str, object] = {"pipeline": {"name": "nothing to run"}} | oldest
    former = [(await house.post("/api/v1/jobs", ends, headers=eve.headers))["id"] for _ in range(2)]
    free = (await house.post("/api/v1/jobs", {"pipeline": {"name": "free"}}, headers=eve.headers))["id"]
    held = await house.post("/api/v1/jobs", {"command": "true", "concurrency_key": "k"}, headers=ben.headers)

    answer = await many(house, "rerun", {"ids": [*former, free]}, headers=eve.headers)

    assert (answer["done"], [one["id"] for one in answer["refused"]]) == (1, former[::-1])
    for one in answer["refused"]:
        assert f"job {held['id']} (true), which this one would end, was created by another token" in one["detail"]
    assert (await house.get(f"/api/v1/jobs/{held['id']}", headers=ben.headers))["status"] == "pending"


async def test_without_room_for_its_jobs_a_rerun_does_nothing(house: House) -> None:
    old = [await failed(house) for _ in range(2)]
    await house.submit(run_at=LATER)
    room = house.part(JobRoom)
    room.limit = 2
    await room.run_once()

    await many(house, "rerun", {"ids": old}, status=429)

    assert len(await house.get("/api/v1/jobs")) == 3


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

    trial = await many(house, "delete", {"ids": [*old, kept, open_], "dry_run": True})
    assert (trial["matched"], trial["done"]) == (2, 0)
    assert {one["id"]: one["detail"] for one in trial["refused"]} == {
        open_: "it is pending: cancel it first, or wait", kept: "a schedule will run it again",
    }  # fmt: skip
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
    for verb, body in (("cancel", {"ids": [mine, others]}), ("rerun", {"ids": [others]})):
        answer = await many(house, verb, body, headers=ben.headers)
        assert [one["id"] for one in answer["refused"]] == [others]
        assert "created by another token" in answer["refused"][0]["detail"]
    assert "jobs.cancel_requested" in [
        one["type"] for one in await house.get(f"/api/v1/jobs/{mine}/events", headers=ben.headers)
    ]
    await many(house, "delete", {"ids": [mine]}, headers=ben.headers, status=403)
    problem = await house.post(f"/api/v1/jobs/{others}/rerun", {}, headers=ben.headers, status=403)
    assert problem["role"] == "operator"
    assert "this job was created by another token" in problem["detail"]


async def test_a_submitter_runs_its_own_jobs_again_and_an_operator_all(callers: Callers, house: House) -> None:
    ben, otto = callers.caller("ben", Role.SUBMITTER), callers.caller("otto", Role.OPERATOR)
    body = {"pipeline": {"name": "nothing to run"}}
    job = await house.post("/api/v1/jobs", body, headers=ben.headers)
    for who in (ben, otto):
        new = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {}, headers=who.headers)
        assert (new["rerun_of"], new["created_by"]) == (job["id"], who.shown)
        assert (await many(house, "rerun", {"ids": [job["id"]]}, headers=who.headers))["done"] == 1
    await house.post(f"/api/v1/jobs/{new_id()}/rerun", {}, headers=ben.headers, status=404)
    await house.post("/api/v1/jobs/x/rerun", {}, headers=ben.headers, status=404)


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


async def test_a_cancellation_of_many_jobs_leaves_those_that_are_being_stopped(house: House) -> None:
    steps = [A, {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}]
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    placed = scheduled(await house.queued(job, "a"))
    await house.say(started(placed))
    by_id, by_filter = {"ids": [job["id"]]}, {"filter": {}}

    assert (await many(house, "cancel", by_filter | {"dry_run": True}))["matched"] == 1
    assert (await many(house, "cancel", by_id))["done"] == 1
    await house.say(finished(placed, "cancelled", reason=Reason.CANCELLED))
    tidying = scheduled(await house.queued(job, "tidy"))
    await house.say(started(tidying))

    for trial in ({"dry_run": True}, {}):
        answer = await many(house, "cancel", by_filter | trial)
        assert (answer["matched"], answer["done"], answer["refused"]) == (0, 0, [])
        answer = await many(house, "cancel", by_id | trial)
        assert (answer["done"], answer["refused"]) == (0, [{"id": job["id"], "detail": bulk.STOPPING}])
    await house.say(finished(tidying))
    over = await house.over(job)
    assert [(task["status"], task["reason"]) for task in over["tasks"]] == [
        ("cancelled", "cancelled"), ("succeeded", None),
    ]  # fmt: skip
    types = [one["type"] for one in await house.get(f"/api/v1/jobs/{job['id']}/events")]
    assert types.count("jobs.cancel_requested") == 1


async def test_a_job_that_begins_to_stop_after_it_was_selected_is_left(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [A, {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}]
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    await house.say(started(scheduled(await house.queued(job, "a"))))
    selected = JobStore.selected

    async def and_another_stops_it(jobs: JobStore, *given: Any, **options: Any) -> list[Selected]:
        found = await selected(jobs, *given, **options)
        await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
        return found

    monkeypatch.setattr(JobStore, "selected", and_another_stops_it)
    answer = await many(house, "cancel", {"filter": {}})

    assert (answer["matched"], answer["done"]) == (1, 0)
    assert answer["refused"] == [{"id": job["id"], "detail": bulk.STOPPING}]
    types = [one["type"] for one in await house.get(f"/api/v1/jobs/{job['id']}/events")]
    assert types.count("jobs.cancel_requested") == 1


async def test_a_job_that_cannot_be_read_is_left_and_the_others_are_changed(house: House) -> None:
    """As after an upgrade for which what is stored is not valid."""
    for verb, make in (("cancel", house.submit), ("rerun", lambda: failed(house))):
        made = [await make() for _ in range(3)]
        first, broken, last = [one if isinstance(one, str) else one["id"] for one in made]
        spoil = 'update tasks set retry = \'{"max_attempts": "many"}\' where job_id = $1'
        await house.database.execute(spoil, broken)

        if verb == "rerun":
            trial = await many(house, verb, {"ids": [first, broken, last], "dry_run": True})
            assert (trial["matched"], [one["id"] for one in trial["refused"]]) == (2, [broken])
        answer = await many(house, verb, {"ids": [first, broken, last]})

        assert (answer["matched"], answer["done"]) == (3, 2), verb
        assert answer["refused"] == [{"id": broken, "detail": unreadable.WHY}], verb


async def test_a_submitters_filter_matches_only_its_own_jobs(callers: Callers, house: House) -> None:
    ben, cleo = callers.caller("ben", Role.SUBMITTER), callers.caller("cleo", Role.SUBMITTER)
    bodies = {"cancel": {"command": "true", "run_at": LATER}, "rerun": {"pipeline": {"name": "nothing to run"}}}
    for verb, job in bodies.items():
        mine = [(await house.post("/api/v1/jobs", job, headers=ben.headers))["id"] for _ in range(2)]
        for _ in range(3):
            await house.post("/api/v1/jobs", job, headers=cleo.headers)
        of_cleo: dict[str, Any] = {"filter": {"created_by": "cleo"}}

        none = await many(house, verb, of_cleo, headers=ben.headers)
        first = await many(house, verb, {"filter": {}, "limit": 1}, headers=ben.headers)
        rest = await many(house, verb, {"filter": {}, "limit": 1, "cursor": first["cursor"]}, headers=ben.headers)

        assert (none["matched"], none["done"], none["refused"]) == (0, 0, []), verb
        assert (first["matched"], first["done"], first["refused"], first["more"]) == (1, 1, [], True), verb
        assert (rest["matched"], rest["done"], rest["refused"], rest["more"]) == (1, 1, [], False), verb
        assert len(mine) == first["done"] + rest["done"]


async def test_the_client_goes_through_all_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await house.submit(labels={"team": "web"}, run_at=LATER)
    async with Client(house.url) as client:
        assert await client.count_selected_jobs("cancel", label=["team=web"], status="pending") == 3
        monkeypatch.setattr(bulk, "COUNTED", 3)
        trial = await client.jobs_to_change("cancel", label=["team=web"])
        assert (trial.matched, trial.done, trial.more) == (3, 0, True)
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
        {"filter": {"status": []}},
        {"filter": {"label": []}},
        {"filter": {"parameter": []}},
        {"filter": {"name": None}},
        {"filter": {"finished_before": None, "status": ["failed"]}},
        {"filter": {}, "limit": 0},
        {"filter": {}, "cursor": "x"},
    ],
)
async def test_a_selection_is_checked(house: House, body: object) -> None:
    for verb in ("cancel", "rerun", "delete"):
        errors = (await many(house, verb, body, status=422))["errors"]
        assert all(one["loc"][0] == "body" for one in errors), verb
