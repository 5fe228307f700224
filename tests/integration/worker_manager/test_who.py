"""With access on, executions, workers and their stops name the token with which they were requested."""

from __future__ import annotations

import pytest

from schemas.access import Role
from schemas.cloudevents import decode_batch
from schemas.events import EventData, ExecutionRequested, WorkerStarted, WorkerStopped
from schemas.states import ExecutionStatus
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.worker_manager.conftest import Ears, Platform, Running, Start, stub
from worker_manager.recall import START
from worker_manager.store.executions import ExecutionStore

__all__ = ["callers"]


@pytest.fixture
def ana(callers: Callers) -> Caller:
    return callers.caller("ana")


@pytest.fixture
def ben(callers: Callers) -> Caller:
    return callers.caller("ben", Role.SUBMITTER)


async def heard(ears: Ears, kind: type[EventData]) -> EventData:
    [event] = decode_batch(kind.event_type, await ears.next())
    return event.data


async def test_an_execution_is_of_the_one_who_requested_it(
    ana: Caller, ben: Caller, platform: Platform, manager: Running
) -> None:
    ears = await platform.listen_to(ExecutionRequested)

    made = await manager.call("POST", "/execute", expect=201, json={"command": "true"}, headers=ben.headers)

    assert made["created_by"] == ben.shown
    for value in ("ben", ben.actor.id):
        [found] = await manager.call("GET", f"/executions?created_by={value}", headers=ana.headers)
        assert (found["id"], found["created_by"]) == (made["id"], ben.shown)
    assert await manager.call("GET", "/executions?created_by=ana", headers=ana.headers) == []
    event = await heard(ears, ExecutionRequested)
    assert isinstance(event, ExecutionRequested)
    assert event.created_by == ben.actor
    # If the orchestrator misses the event, it is published again with the same creator.
    [row] = await ExecutionStore(platform.database).overdue(ExecutionStatus.PENDING, START, -60, 10)
    assert row["created_by"] == ben.shown
    await manager.stop()


async def test_a_worker_names_who_requested_it_and_its_stop(callers: Callers, platform: Platform, start: Start) -> None:
    ana, cleo = callers.caller("ana"), callers.caller("cleo")
    manager = await start(agent=stub("normal"))
    started, stopped = await platform.listen_to(WorkerStarted), await platform.listen_to(WorkerStopped)

    worker = await manager.call("POST", "/workers", json={}, headers=ana.headers)
    path = f"/workers/{worker['id']}"
    await manager.call("DELETE", path, headers=cleo.headers)
    await manager.call("DELETE", path, headers=ana.headers)
    await manager.fleet.until_over(worker["id"])

    shown = await manager.call("GET", path, headers=ana.headers)
    assert (worker["created_by"], worker["stop_requested_by"]) == (ana.shown, None)
    assert (shown["created_by"], shown["stop_requested_by"]) == (ana.shown, cleo.shown)
    assert [one["id"] for one in await manager.call("GET", "/workers?created_by=ana", headers=ana.headers)] == [
        worker["id"]
    ]
    assert await manager.call("GET", f"/workers?created_by={cleo.actor.id}", headers=ana.headers) == []
    event, end = await heard(started, WorkerStarted), await heard(stopped, WorkerStopped)
    assert isinstance(event, WorkerStarted)
    assert isinstance(end, WorkerStopped)
    assert (event.created_by, end.stopped_by) == (ana.actor, cleo.actor)
    await manager.stop()
