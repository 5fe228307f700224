"""One leads, the next takes over, and what the last one had under way can no longer be written."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.counters import Counters
from scheduler.dispatcher import Dispatcher
from scheduler.domain.desk import Changes
from scheduler.store import Store
from scheduler.traces import Traces
from schemas.events import TaskScheduled, WorkerOffline, WorkerRegistered
from shared.errors import Unavailable
from shared.ids import new_id
from shared.metrics import Metrics
from shared.outbox import Outbox
from shared.tracing import Tracing
from tests.integration.scheduler.conftest import DEADLINE, Agent, Opener, finished, queued, scheduler_process


async def test_a_standby_takes_over_where_the_leader_ended(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    took_over, over = asyncio.Event(), asyncio.Event()

    async def stand_by() -> None:
        async with scheduler_process(here.settings):
            took_over.set()
            await over.wait()

    standby = asyncio.create_task(stand_by())
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    assert not took_over.is_set()
    await here.stack.aclose()
    async with asyncio.timeout(DEADLINE):
        await took_over.wait()
    await here.say(queued())
    await here.say(finished(placed))
    again = (await here.ears.wait(TaskScheduled, 2))[1]
    assert again.worker_id == agent.id
    assert len(here.ears.of(WorkerRegistered)) == 1
    over.set()
    await standby


async def test_a_leader_that_was_replaced_stops_nothing(house: Opener) -> None:
    here = await house()
    await here.stack.aclose()
    metrics = Metrics()
    outbox = Outbox(here.database, here.bus, source="scheduler")
    store, traces = Store(here.database, outbox), Traces(Tracing("scheduler"))
    old, new = (Dispatcher(store, here.bus, Counters(metrics), traces, lease=0, patience=0) for _ in range(2))
    await old.start()
    agent = Agent(here.bus)
    await agent.listen()
    await old.hear(agent.heartbeat())
    stranger = new_id()
    await old.hear(agent.heartbeat(running=[stranger]))
    async with asyncio.timeout(DEADLINE):
        assert (await agent.stops.get()).execution_ids == [stranger]
    await new.start()
    with pytest.raises(Unavailable):
        await old.hear(agent.heartbeat(running=[stranger]))
    await here.bus.flush()
    assert agent.stops.empty()


async def test_a_leader_that_was_replaced_writes_nothing(house: Opener) -> None:
    here = await house()
    outbox = Outbox(here.database, here.bus, source="scheduler")
    store = Store(here.database, outbox)
    old = await store.begin_epoch()
    await store.write(old, Changes(events=[]))
    await store.begin_epoch()
    said = [WorkerOffline(worker_id="x", detail="never said")]
    with pytest.raises(Unavailable):
        await store.write(old, Changes(events=list(said)))
    assert await here.database.fetch_value("select count(*) from outbox where event_type = 'workers.offline'") == 0


async def test_a_dispatcher_that_was_stopped_has_no_further_turn(house: Opener) -> None:
    here = await house()
    store = Store(here.database, Outbox(here.database, here.bus, source="scheduler"))
    counters = Counters(Metrics())
    dispatcher = Dispatcher(
        store, here.bus, counters, Traces(Tracing("scheduler", endpoint=None)), lease=15, patience=75
    )

    async def take_a_turn() -> None:
        async with dispatcher.turn():
            pass

    await dispatcher.start()
    async with dispatcher.turn():
        waiting = asyncio.create_task(take_a_turn())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(dispatcher.stop())
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await waiting
    await stopping
    with pytest.raises(Unavailable):
        await take_a_turn()
