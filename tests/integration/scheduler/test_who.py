"""With access on, schedules, their firings and drains name the token with which they were requested."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.store.firings import START, FiringStore
from scheduler.store.schedules import ScheduleStore
from schemas.events import (
    EventData,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFired,
    SchedulePaused,
    ScheduleResumed,
    ScheduleUpdated,
    WorkerDraining,
    WorkerOffline,
    WorkerRegistered,
    WorkerResumed,
)
from schemas.states import FiringKind
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.scheduler.conftest import House, Opener

__all__ = ["callers"]


@pytest.fixture
def ana(callers: Callers) -> Caller:
    return callers.caller("ana")


@pytest.fixture
def ben(callers: Callers) -> Caller:
    return callers.caller("ben")


def speak(house: House, who: Caller) -> None:
    """Send the next requests with this token."""
    house.http.headers.update(who.headers)


async def ids(house: House, path: str) -> list[str]:
    found: Any = await house.get(f"/api/v1/{path}")
    return [one["id"] for one in found]


async def heard(house: House, kind: type[EventData], entity_id: str, count: int = 1) -> Any:
    events = await house.ears.wait(kind, count, where=lambda one: one.entity_id() == entity_id)
    return events[-1]


async def test_a_schedule_is_of_its_creator_and_its_changes_are_of_those_who_made_them(
    ana: Caller, ben: Caller, house: Opener
) -> None:
    here = await house()
    speak(here, ana)
    made: Any = await here.post("/api/v1/schedule", {"command": "true", "cron": "0 3 * * *"}, 201)
    path = f"/api/v1/scheduled/{made['id']}"
    speak(here, ben)
    await here.patch(path, {"cron": "0 4 * * *"})
    await here.post(f"{path}/pause")
    resumed: Any = await here.post(f"{path}/resume")

    assert made["created_by"] == resumed["created_by"] == ana.shown
    for value in ("ana", ana.actor.id):
        assert await ids(here, f"scheduled?created_by={value}") == [made["id"]]
    assert await ids(here, "scheduled?created_by=ben") == []
    assert (await heard(here, ScheduleCreated, made["id"])).created_by == ana.actor
    assert (await heard(here, ScheduleUpdated, made["id"])).updated_by == ben.actor
    assert (await heard(here, SchedulePaused, made["id"])).paused_by == ben.actor
    assert (await heard(here, ScheduleResumed, made["id"])).resumed_by == ben.actor
    await here.delete(path)
    assert (await heard(here, ScheduleDeleted, made["id"])).deleted_by == ben.actor


async def test_firings_carry_the_creator_of_their_schedule_and_who_triggered_them(
    ana: Caller, ben: Caller, house: Opener
) -> None:
    here = await house()
    speak(here, ana)
    made: Any = await here.post("/api/v1/schedule", {"command": "true"}, 201)
    by_time = await heard(here, ScheduleFired, made["id"])
    speak(here, ben)
    firing: Any = await here.post(f"/api/v1/scheduled/{made['id']}/trigger", None, 202)
    triggered = await heard(here, ScheduleFired, made["id"], 2)

    assert (by_time.kind, by_time.created_by, by_time.triggered_by) == (FiringKind.TIME, ana.actor, None)
    assert (triggered.kind, triggered.created_by, triggered.triggered_by) == (
        FiringKind.TRIGGER,
        ana.actor,
        ben.actor,
    )
    history: Any = await here.get(f"/api/v1/scheduled/{made['id']}/history")
    assert [one["triggered_by"] for one in history] == [ben.shown, None]
    assert firing["triggered_by"] == ben.shown

    # The orchestrator has confirmed neither: their events are published again as they were.
    again = [one.event() for one in await FiringStore(here.database).unheard(-1e6, START, 100)]
    assert again == [by_time, triggered]
    await here.database.execute("update schedules set status = 'scheduled'")
    async with here.database.transaction() as tx:
        [unheard] = await ScheduleStore(here.database).lock_unheard(tx, -1e6, 100)
    assert unheard.event.created_by == ana.actor


async def test_a_drain_names_who_ordered_it_until_it_is_lifted(ana: Caller, ben: Caller, house: Opener) -> None:
    here = await house()
    speak(here, ana)
    worker: Any = await here.post("/api/v1/workers", {"type": "rust"})
    path = f"/api/v1/workers/{worker['id']}"
    drained: Any = await here.post(f"{path}/drain", None, 202)
    speak(here, ben)
    again: Any = await here.post(f"{path}/drain", None, 202)

    assert worker["drained_by"] is None
    assert drained["drained_by"] == again["drained_by"] == ana.shown
    for value in ("ana", ana.actor.id):
        assert await ids(here, f"workers?drained_by={value}") == [worker["id"]]
    assert await ids(here, "workers?drained_by=ben") == []
    resumed: Any = await here.post(f"{path}/resume", None, 202)
    assert resumed["drained_by"] is None
    await here.delete(path)
    assert (await heard(here, WorkerRegistered, worker["id"])).registered_by == ana.actor
    assert (await heard(here, WorkerDraining, worker["id"])).drained_by == ana.actor
    assert (await heard(here, WorkerResumed, worker["id"])).resumed_by == ben.actor
    assert (await heard(here, WorkerOffline, worker["id"])).removed_by == ben.actor
