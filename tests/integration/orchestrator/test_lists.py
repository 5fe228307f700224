"""Lists of the orchestrator are narrowed down by what they show, and an execution names its worker."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hodei.client import Client
from schemas.ids import CLOCKS_APART, first_id_at
from schemas.model import rfc3339
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, lost, scheduled, started

STEP = {"name": "main", "command": "true"}


async def ids(house: House, path: str) -> list[str]:
    return [one["id"] for one in await house.get(f"/api/v1/{path}")]


async def test_archived_pipelines_are_listed_when_they_are_asked_for(house: House) -> None:
    first, second, third = [await house.post("/api/v1/pipelines", {"name": name}) for name in ("a", "b", "a")]
    await house.call("PUT", f"/api/v1/pipelines/{second['id']}", {"name": "b"}, status=200)
    for gone in (first, second):
        await house.call("DELETE", f"/api/v1/pipelines/{gone['id']}", status=204)

    assert await ids(house, "pipelines") == await ids(house, "pipelines?status=active") == [third["id"]]
    assert await ids(house, "pipelines?status=archived") == [second["id"], first["id"]]
    assert await ids(house, "pipelines?status=archived&name=a") == [first["id"]]
    assert await ids(house, "pipelines?status=archived&version=2") == [second["id"]]
    assert await ids(house, "pipelines?version=2") == []
    [shown] = await house.get("/api/v1/pipelines?status=archived&name=b")
    assert (shown["status"], shown["version"]) == ("archived", 2)
    async with house.http.get(f"{house.url}/api/v1/pipelines?status=archived&limit=1") as answer:
        following = answer.links["next"]["url"]
    async with house.http.get(following) as answer:
        assert [one["id"] for one in await answer.json()] == [first["id"]]


@pytest.mark.parametrize(
    "query",
    [
        *("pipelines?status=gone", "pipelines?version=0", "pipelines?version=x"),
        "jobs?finished_after=now",
        *("jobs?created_after=yesterday", "jobs?created_before=2026-01-01T00:00:00"),
    ],
)
async def test_an_unknown_value_of_a_filter_is_refused_by_its_name(house: House, query: str) -> None:
    problem = await house.get(f"/api/v1/{query}", status=422)
    assert problem["errors"][0]["loc"] == ["query", query.split("?")[1].split("=")[0]]


async def test_a_wrong_value_among_several_is_refused(house: House) -> None:
    for query in ("status=failed,gone", "parameter=x", "parameter=a=1&parameter=a=2"):
        problem = await house.get(f"/api/v1/jobs?{query}", status=422)
        assert query.partition("=")[0] in problem["detail"]


async def test_jobs_are_found_by_the_time_of_their_creation(house: House) -> None:
    jobs = [await house.submit() for _ in range(3)]
    moments = [job["created_at"] for job in jobs]

    assert await ids(house, f"jobs?created_after={moments[1]}") == [jobs[2]["id"], jobs[1]["id"]]
    assert await ids(house, f"jobs?created_before={moments[1]}") == [jobs[0]["id"]]
    assert await ids(house, f"jobs?created_after={moments[1]}&created_before={moments[2]}") == [jobs[1]["id"]]
    assert await ids(house, f"jobs?created_after={moments[2]}&status=failed") == []


async def test_jobs_are_found_by_several_statuses_and_by_the_time_of_their_end(house: House) -> None:
    done, waits, cancelled = [await house.submit() for _ in range(3)]
    await house.say(finished(scheduled(await house.queued(done))))
    done = await house.over(done)
    cancelled = await house.cancelled(cancelled)

    both = [waits["id"], done["id"]]
    assert await ids(house, "jobs?status=succeeded&status=pending") == both
    assert await ids(house, "jobs?status=succeeded,pending,succeeded") == both
    assert await ids(house, "jobs?status=succeeded,pending&limit=1") == both[:1]
    async with house.http.get(f"{house.url}/api/v1/jobs?status=succeeded,pending&limit=1") as answer:
        following = answer.links["next"]["url"]
    async with house.http.get(following) as answer:
        assert [one["id"] for one in await answer.json()] == both[1:]
    assert await ids(house, f"jobs?finished_before={cancelled['finished_at']}") == [done["id"]]
    assert await ids(house, f"jobs?finished_after={cancelled['finished_at']}") == [cancelled["id"]]
    assert await ids(house, f"jobs?finished_after={done['finished_at']}&status=failed,succeeded") == [done["id"]]


async def test_names_are_found_by_their_beginning(house: House) -> None:
    names = ("nightly", "nightly-é", "nightly-\U0010ffff\ud7ff", "night", "other")
    jobs = {name: (await house.submit(name=name))["id"] for name in names}
    pipelines = {name: (await house.post("/api/v1/pipelines", {"name": name}))["id"] for name in names}

    async def found(list_: str, beginning: str) -> list[str]:
        known = {id: name for name, id in (jobs if list_ == "jobs" else pipelines).items()}
        async with house.http.get(f"{house.url}/api/v1/{list_}", params={"name": f"{beginning}*"}) as answer:
            return [known[one["id"]] for one in reversed(await answer.json())]

    for list_ in ("jobs", "pipelines"):
        assert await found(list_, "nightly") == ["nightly", "nightly-é", names[2]]
        assert await found(list_, "nightly-\U0010ffff") == [names[2]]
        assert await found(list_, names[2]) == [names[2]]
        assert await found(list_, "") == list(names)
        assert await found(list_, "NIGHT") == []
        assert await ids(house, f"{list_}?name=nightly") == [(jobs if list_ == "jobs" else pipelines)["nightly"]]


async def test_jobs_are_found_by_the_name_of_their_pipeline_and_by_parameters(house: House) -> None:
    types = {"env": "string", "n": "integer", "dry": "boolean", "password": "string", "url": "string"}
    declared = {name: {"type": kind} for name, kind in types.items()}
    body = {"name": "deploy", "steps": [STEP], "params": declared}
    same = [await house.post("/api/v1/pipelines", body) for _ in range(2)]
    params: list[dict[str, object]] = [
        {"env": "prod", "n": 3, "password": "hidden", "url": "http://me:hidden@host"},
        {"env": "prod", "n": 3},
        {"env": "test", "n": 4, "dry": True},
    ]
    jobs = [
        await house.post("/api/v1/jobs", {"pipeline_id": same[n % 2]["id"], "params": p}) for n, p in enumerate(params)
    ]
    first, second, third = [job["id"] for job in jobs]
    await house.submit()

    assert await ids(house, "jobs?pipeline=deploy") == [third, second, first]
    assert await ids(house, f"jobs?pipeline={same[0]['id'].upper()}") == [third, first]
    assert await ids(house, "jobs?pipeline=deploy&status=pending,running&parameter=env=prod&limit=1") == [second]
    assert await ids(house, "jobs?pipeline=none") == []
    assert await ids(house, "jobs?parameter=env=prod") == [second, first]
    assert await ids(house, "jobs?parameter=env=prod&parameter=n=3") == [second, first]
    assert await ids(house, "jobs?parameter=dry=true") == [third]
    for hidden in ("password=hidden", "password=***", "url=http://me:hidden@host", "url=http://me:***@host"):
        assert await ids(house, f"jobs?parameter={hidden}") == [], hidden


async def test_a_job_whose_id_was_chosen_elsewhere_is_found_by_its_own_time(house: House) -> None:
    job = await house.submit()
    created = datetime.fromisoformat(job["created_at"])

    # A schedule fired while the orchestrator was away for a month; a clock was ahead.
    for made in (created - timedelta(days=30), created + CLOCKS_APART - timedelta(seconds=1)):
        for table, column in (("jobs", "id"), ("tasks", "job_id"), ("timeline", "job_id")):
            await house.database.execute(f"update {table} set {column} = $1::uuid", first_id_at(made))
        after, before = rfc3339(created - timedelta(seconds=1)), rfc3339(created + timedelta(seconds=1))
        assert await ids(house, f"jobs?created_after={after}&created_before={before}") == [first_id_at(made)]
        assert await ids(house, f"jobs?created_before={after}") == []


@pytest.mark.parametrize("last_word", ["scheduled", "started", "finished", "lost"])
async def test_an_execution_says_what_its_worker_is_called(house: House, last_word: str) -> None:
    order = await house.queued(await house.submit())
    named = scheduled(order, worker_id=new_id()).model_copy(update={"worker_name": "north"})
    story: dict[str, list[Any]] = {
        "scheduled": [named, finished(scheduled(order, execution_id=named.execution_id, worker_id=named.worker_id))],
        "started": [started(named).model_copy(update={"worker_name": "north"}), finished(named)],
        "finished": [finished(named).model_copy(update={"worker_name": "north"})],
        "lost": [lost(named).model_copy(update={"worker_name": "north"})],
    }

    for event in story[last_word]:
        await house.say(event)
    if last_word == "lost":
        await house.queued({"id": order.job_id}, attempt=2)
        [task] = (await house.get(f"/api/v1/jobs/{order.job_id}"))["tasks"]
    else:
        [task] = (await house.over({"id": order.job_id}))["tasks"]

    assert [(one["worker_id"], one["worker_name"]) for one in task["executions"]] == [(named.worker_id, "north")]


@pytest.mark.parametrize("who_says", ["tasks.scheduled", "executions.started", "executions.finished"])
async def test_a_workers_name_stays_whichever_report_says_it(house: House, who_says: str) -> None:
    order = await house.queued(await house.submit())
    placed = scheduled(order)
    async with Client(house.url) as client:
        life = client.follow_events(order.job_id)
        for event in (placed, started(placed), finished(placed)):
            name = "north" if event.event_type == who_says else None
            await house.say(event.model_copy(update={"worker_name": name}))
            async for seen in life:  # what is written by then is not folded together with what follows
                if seen.type == event.event_type:
                    break
    [task] = (await house.over({"id": order.job_id}))["tasks"]
    assert [one["worker_name"] for one in task["executions"]] == ["north"]


async def test_the_first_name_of_a_worker_stays(house: House) -> None:
    placed = scheduled(await house.queued(await house.submit()))
    await house.say(placed.model_copy(update={"worker_name": "north"}))
    await house.say(finished(placed).model_copy(update={"worker_name": "south"}))
    [task] = (await house.over({"id": placed.job_id}))["tasks"]
    assert [one["worker_name"] for one in task["executions"]] == ["north"]


async def test_a_worker_without_a_known_name_is_shown_without_one(house: House) -> None:
    job = await house.submit()
    await house.say(finished(scheduled(await house.queued(job))))
    [task] = (await house.over(job))["tasks"]
    assert [one["worker_name"] for one in task["executions"]] == [None]
