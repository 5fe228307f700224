"""Lists of the scheduler are narrowed down by what they show, and what is said of an execution names its worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events import ExecutionLost, TaskScheduled
from schemas.ids import is_id
from schemas.model import rfc3339
from shared.ids import new_id
from tests.integration.scheduler.conftest import DEADLINE, House, Opener, queued


async def rows(here: House, path: str) -> list[Any]:
    found = await here.get(f"/api/v1/{path}")
    assert isinstance(found, list)
    return found


async def test_schedules_are_found_by_each_field(house: Opener) -> None:
    here = await house()
    later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    named, other = [
        await here.post("/api/v1/schedule", {"command": "true", "run_at": later, "name": name}, 201)
        for name in ("nightly", "weekly")
    ]
    ours, theirs = new_id(), new_id()
    await here.database.execute("update schedules set job_id = $2::uuid where id = $1::uuid", named["id"], ours)
    await here.database.execute("update schedules set pipeline_id = $2::uuid where id = $1::uuid", other["id"], theirs)

    for query, expected in (
        ("name=nightly", [named]),
        ("name=nightly&status=failed", []),
        ("name=night", []),
        (f"job_id={ours}", [named]),
        (f"pipeline_id={theirs}", [other]),
        ("status=scheduled", [other, named]),
    ):
        found = [one["id"] for one in await rows(here, f"scheduled?{query}")]
        assert found == [one["id"] for one in expected], query


async def test_workers_are_found_by_each_field(house: Opener) -> None:
    here = await house()
    body = {"type": "rust", "name": "one", "labels": {"zone": "north", "disk": "ssd"}}
    one = str((await here.post("/api/v1/workers", body, 200))["id"])
    two = str((await here.post("/api/v1/workers", {"labels": {"zone": "south"}}, 200))["id"])
    agent = (await here.agent(labels={"zone": "south"})).id
    await here.post(f"/api/v1/workers/{two}/drain", None, 202)
    task = new_id()
    await here.database.execute("update workers set reserved_for = $2::uuid where id = $1::uuid", one, task)
    assert is_id(agent)

    for query, expected in (
        ("label=zone=north", {one}),
        ("label=zone=south", {two, agent}),
        ("label=zone=north&label=disk=ssd", {one}),
        ("label=zone=south&label=disk=ssd", set()),
        ("label=zone=south&has_agent=true", {agent}),
        ("has_agent=false", {one, two}),
        ("drained=true", {two}),
        ("drained=false", {one, agent}),
        ("status=draining", {two}),
        ("type=rust", {one}),
        ("name=one", {one}),
        (f"reserved_for={task}", {one}),
        ("reserved_for=nonsense", set()),
    ):
        assert {worker["id"] for worker in await rows(here, f"workers?{query}")} == expected, query


async def test_what_waits_is_found_by_each_field(house: Opener) -> None:
    here = await house()
    later = datetime.now(UTC) + timedelta(hours=1)
    build = queued(
        name="build",
        requires={"zone": "north", "disk": "ssd"},
        priority="high",
        labels={"team": "web", "tier": "1"},
    )
    again = queued(name="build", requires={"zone": "north"}, attempt=2)
    late = queued(name="late", requires={"zone": "north"}, run_at=later, labels={"team": "web"})
    plain = queued(name="plain").model_copy(update={"matrix": {"python": "3.11", "os": "debian"}, "index": 1})
    await here.say(build, again, late, plain)
    async with asyncio.timeout(DEADLINE):
        while len(await rows(here, "queue")) < 4:
            pass

    for query, expected in (
        ("name=build", [build, again]),
        ("name=buil", []),
        ("attempt=2", [again]),
        ("requires=zone=north", [build, again, late]),
        ("requires=zone=north&requires=disk=ssd", [build]),
        ("requires=zone=south", []),
        ("requires=zone=north&name=late", [late]),
        ("requires=zone=north&attempt=1", [build, late]),
        ("label=team=web", [build, late]),
        ("label=team=web&label=tier=1", [build]),
        ("label=team=web&requires=disk=ssd", [build]),
        ("label=team=app", []),
        ("priority=high", [build]),
        (f"job_id={plain.job_id}", [plain]),
    ):
        found = await rows(here, f"queue?{query}")
        assert [one["task_id"] for one in found] == [one.task_id for one in expected], query
        assert [one["position"] for one in found] == list(range(1, len(expected) + 1)), query
        assert [one["labels"] for one in found] == [one.labels for one in expected], query
        assert [(one["matrix"], one["index"]) for one in found] == [(one.matrix, one.index) for one in expected], query
    [found] = await rows(here, "queue?name=plain")
    assert list(found["matrix"]) == ["python", "os"], "in the order written"
    first = await page(here, f"{here.url}/api/v1/queue?requires=zone=north&limit=2")
    assert [one["task_id"] for one in first[0]] == [build.task_id, again.task_id]
    assert [one["task_id"] for one in (await page(here, first[1]))[0]] == [late.task_id]


async def page(here: House, url: str) -> tuple[list[Any], str]:
    """A page, and where the next one is."""
    async with here.http.get(url) as answer:
        return await answer.json(), str(answer.links["next"]["url"]) if answer.links else ""


@pytest.mark.parametrize(
    "query",
    [
        *("workers?has_agent=maybe", "workers?drained=2", "workers?label=zone", "workers?status=tired"),
        *(
            "queue?requires=zone",
            "queue?label=team",
            "queue?attempt=0",
            "queue?priority=urgent",
            "scheduled?status=soon",
        ),
    ],
)
async def test_an_unknown_value_of_a_filter_is_refused_by_its_name(house: Opener, query: str) -> None:
    problem: Any = await (await house()).get(f"/api/v1/{query}", 422)
    assert problem["errors"][0]["loc"][:2] == ["query", query.split("?")[1].split("=")[0]]


async def test_two_values_of_one_label_are_refused(house: Opener) -> None:
    here = await house()
    for path, name in (("workers", "label"), ("queue", "requires"), ("queue", "label")):
        problem: Any = await here.get(f"/api/v1/{path}?{name}=zone=north&{name}=zone=south", 422)
        assert problem["errors"][0]["msg"] == f"{name}: one key is given with two values; no entry has both"


async def test_an_order_and_a_loss_say_what_the_worker_is_called(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    [shown] = await rows(here, "workers")
    one = queued()
    await here.say(one)
    [placed] = await here.ears.wait(TaskScheduled)
    assert (placed.worker_id, placed.worker_name) == (agent.id, shown["name"])

    agent.incarnation = new_id()
    await agent.beat()

    [lost] = await here.ears.wait(ExecutionLost)
    assert (lost.execution_id, lost.worker_name) == (placed.execution_id, shown["name"])
