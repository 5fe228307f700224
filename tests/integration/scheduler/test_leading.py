"""One leads, the next takes over, and what the last one had under way can no longer be written."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from scheduler.counters import Counters
from scheduler.domain.changes import Changes
from scheduler.leader import Leader
from scheduler.settings import SchedulerSettings
from scheduler.store.turns import TurnStore
from scheduler.traces import Traces
from schemas.events import TaskScheduled, WorkerOffline, WorkerRegistered
from shared.errors import Unavailable
from shared.ids import new_id
from shared.outbox import Outbox
from shared.telemetry import Metrics, Tracing
from tests.fixtures.processes import running, said
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
    store, traces = TurnStore(here.database, outbox), Traces(Tracing("scheduler"))
    old, new = (Leader(store, here.bus, Counters(metrics), traces, lease=0, patience=0) for _ in range(2))
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
    store = TurnStore(here.database, outbox)
    old = await store.begin_epoch()
    await store.write(old, Changes(events=[]))
    await store.begin_epoch()
    said = [WorkerOffline(worker_id="x", detail="never said")]
    with pytest.raises(Unavailable):
        await store.write(old, Changes(events=list(said)))
    assert await here.database.fetch_value("select count(*) from outbox where event_type = 'workers.offline'") == 0


async def test_a_leader_that_was_stopped_has_no_further_turn(house: Opener) -> None:
    here = await house()
    store = TurnStore(here.database, Outbox(here.database, here.bus, source="scheduler"))
    counters = Counters(Metrics())
    leader = Leader(store, here.bus, counters, Traces(Tracing("scheduler", endpoint=None)), lease=15, patience=75)

    async def take_a_turn() -> None:
        async with leader.turn():
            pass

    await leader.start()
    async with leader.turn():
        waiting = asyncio.create_task(take_a_turn())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(leader.stop())
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await waiting
    await stopping
    with pytest.raises(Unavailable):
        await take_a_turn()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_what_is_submitted_as_the_leader_falls_silent_runs_soon(house: Opener, fault: signal.Signals) -> None:
    """Pushed to a scheduler that is gone, or stands still, it is placed by the standby within five seconds."""
    here = await house()
    agent = await here.agent(slots=4)
    await here.stack.aclose()
    settings = here.settings
    environment = {
        "NATS_URL": settings.nats_url,
        "DATABASE_URL": settings.database_url,
        "HODEI_NAMESPACE": settings.namespace,
        "SCHEDULER_PORT": "0",
        "HODEI_LOG_FORMAT": "console",
    }
    async with running("tests.integration.scheduler.leading", environment=environment) as leader:
        await said(leader, "leads")
        standing = asyncio.create_task(stand_by(here.settings))
        try:
            await agent.beat()
            await here.say(queued())
            await here.ears.wait(TaskScheduled)
            leader.send_signal(fault)
            fallen = time.monotonic()
            await here.say(queued())
            await beat_until(agent, here.ears.wait(TaskScheduled, 2))
            assert time.monotonic() - fallen < 15, "what the fallen one held came again at once"  # figures: benchmarks/
            if fault is signal.SIGSTOP:
                leader.send_signal(signal.SIGCONT)
                await said(leader, "follows")
                await here.say(queued())
                await beat_until(agent, here.ears.wait(TaskScheduled, 3))
                assert len({event.execution_id for event in here.ears.of(TaskScheduled)}) == 3
        finally:
            standing.cancel()
            await asyncio.wait({standing})


async def stand_by(settings: SchedulerSettings) -> None:
    async with scheduler_process(settings):
        await asyncio.Event().wait()


async def beat_until(agent: Agent, work: Coroutine[Any, Any, object]) -> None:
    """What waits for a slot is placed by whoever has heard of it."""
    waiting = asyncio.ensure_future(work)
    while not waiting.done():
        await agent.beat()
        await asyncio.wait({waiting}, timeout=0.2)
    waiting.result()
