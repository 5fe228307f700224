"""Lists of the worker manager are narrowed down by what they show, and an execution names its worker."""

import pytest

from schemas.ids import is_id
from schemas.states import ExecutionStatus
from tests.integration.worker_manager.conftest import Platform, Running
from tests.unit.worker_manager.events import Script


async def test_executions_are_found_by_each_field(platform: Platform, manager: Running) -> None:
    web, tiered = {"team": "web"}, {"team": "web", "tier": "1"}
    well, failed, gone, second = [
        Script(worker_name=name, labels=labels)
        for name, labels in (("north", web), ("south", tiered), ("north", None), ("east", {"team": "app"}))
    ]
    again = second.scheduled().model_copy(update={"attempt": 2})
    await platform.say(well.scheduled(), failed.scheduled(), gone.scheduled(), again)
    await platform.say(well.finished(), failed.finished(ExecutionStatus.FAILED, exit_code=7), gone.lost())
    await manager.recorded(7)
    await platform.database.execute(
        "update executions set created_at = '2020-01-01T00:00:00Z' where id = $1", well.execution_id
    )

    for query, expected in (
        (f"worker_id={well.worker_id}", [well]),
        ("worker_name=north", [gone, well]),
        ("worker_name=north&status=lost", [gone]),
        ("worker_name=west", []),
        ("attempt=1", [gone, failed, well]),
        ("attempt=2", [second]),
        ("attempt=3", []),
        ("reason=lost", [gone]),
        ("reason=lost&worker_name=south", []),
        ("label=team=web", [failed, well]),
        ("label=team=web&label=tier=1", [failed]),
        ("label=team=web&exit_code=0", [well]),
        ("label=tier=2", []),
        ("label=team=app", [second]),
        ("exit_code=0", [well]),
        ("exit_code=7", [failed]),
        ("exit_code=8", []),
        ("created_before=2020-01-01T00:00:00Z", []),
        ("created_after=2020-01-01T00:00:00Z&created_before=2021-01-01T00:00:00Z&reason=lost", []),
        ("created_after=2020-01-01T00:00:01Z", [second, gone, failed]),
    ):
        found = [one["id"] for one in await manager.call("GET", f"/executions?{query}")]
        assert found == [script.execution_id for script in expected], query


async def test_an_execution_is_found_by_its_own_time_though_its_id_is_older(
    platform: Platform, manager: Running
) -> None:
    script = Script(execution_id="01000000-0000-7000-8000-000000000001")  # of the year 2004
    await platform.say(script.scheduled())
    await manager.recorded(1)

    path = "/executions?created_after=2026-11-24T12:00:00Z&created_before=2026-11-24T12:00:01Z"

    assert [one["id"] for one in await manager.call("GET", path)] == [script.execution_id]


@pytest.mark.parametrize("first_word", ["scheduled", "started", "finished", "lost", "returned"])
async def test_an_execution_shows_the_labels_of_its_step(platform: Platform, manager: Running, first_word: str) -> None:
    labelled, plain = Script(labels={"team": "web"}), Script()
    unlabelled = Script(
        labelled.worker_id, labelled.incarnation, execution_id=labelled.execution_id, task_id=labelled.task_id
    )

    await platform.say(getattr(labelled, first_word)())
    await manager.recorded(1)
    await platform.say(unlabelled.finished(), plain.finished())
    await manager.recorded(3)

    assert (await manager.call("GET", f"/executions/{labelled.execution_id}"))["labels"] == {"team": "web"}
    assert (await manager.call("GET", f"/executions/{plain.execution_id}"))["labels"] == {}


@pytest.mark.parametrize("last_word", ["scheduled", "started", "finished", "lost", "returned"])
async def test_an_execution_says_what_its_worker_is_called(
    platform: Platform, manager: Running, last_word: str
) -> None:
    named = Script(worker_name="north")
    nameless = Script(named.worker_id, named.incarnation, execution_id=named.execution_id, task_id=named.task_id)

    await platform.say(getattr(named, last_word)())
    await manager.recorded(1)
    await platform.say(nameless.finished())
    await manager.recorded(2)

    assert (await manager.call("GET", f"/executions/{named.execution_id}"))["worker_name"] == "north"


@pytest.mark.parametrize(
    "query",
    [
        *("executions?attempt=0", "executions?exit_code=-1", "executions?reason=bored", "executions?status=idle"),
        *("executions?created_after=noon", "workers?status=tired", "workers?label=zone", "executions?label=zone"),
    ],
)
async def test_an_unknown_value_of_a_filter_is_refused_by_its_name(manager: Running, query: str) -> None:
    problem = await manager.call("GET", f"/{query}", expect=422)
    assert problem["errors"][0]["loc"][:2] == ["query", query.split("?")[1].split("=")[0]]


async def test_workers_are_found_by_each_field(manager: Running) -> None:
    body = {"type": "rust", "name": "one", "labels": {"zone": "north", "disk": "ssd"}}
    one = await manager.call("POST", "/workers", json=body)
    two = await manager.call("POST", "/workers", json={"labels": {"zone": "south"}})
    assert is_id(one["id"])

    for query, expected in (
        ("type=rust", [one]),
        ("name=one", [one]),
        ("label=zone=north", [one]),
        ("label=zone=north&label=disk=ssd", [one]),
        ("label=zone=south&label=disk=ssd", []),
        ("provider=process", [two, one]),
        ("provider=process&label=zone=south", [two]),
        ("status=stopped", []),
    ):
        found = [worker["id"] for worker in await manager.call("GET", f"/workers?{query}")]
        assert found == [worker["id"] for worker in expected], query
