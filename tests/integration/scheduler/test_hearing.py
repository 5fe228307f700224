"""Silence that the scheduler shares with everybody is no worker's fault; that of a worker alone is noticed as ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from scheduler.counters import Counters
from scheduler.hearing import HeardTime
from scheduler.leader import Leader
from scheduler.loops import Silence
from scheduler.ordering import Ordering
from scheduler.schedules import Schedules
from scheduler.store.firings import FiringStore
from scheduler.store.schedules import ScheduleStore
from scheduler.store.turns import TurnStore
from scheduler.store.workers import WorkerStore
from scheduler.traces import Traces
from schemas.events import ExecutionLost, TaskScheduled, WorkerOffline
from shared.clock import now
from shared.errors import Unavailable
from shared.ids import new_id
from shared.outbox import Outbox
from shared.telemetry import Metrics, Tracing
from tests.fixtures.servers import NatsServer
from tests.integration.scheduler.conftest import DEADLINE, Agent, House, Opener, queued

LEASE = 2.0
LONGER = 1.5 * LEASE


@asynccontextmanager
async def beating(agent: Agent, *running: str) -> AsyncIterator[None]:
    """The agent speaks as often as agents do: several times in each lease."""

    async def beat() -> None:
        while True:
            await agent.beat(running=running)
            await asyncio.sleep(LEASE / 8)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def placed(here: House, agent: Agent) -> TaskScheduled:
    async with beating(agent):
        await here.say(queued())
        return (await here.ears.wait(TaskScheduled))[0]


async def only_who_is_silent_alone_is_lost(here: House) -> None:
    """Whoever falls silent from now on is lost, and with that it is sure that leases are watched again."""
    dead = await here.agent()
    await here.ears.wait(WorkerOffline, where=lambda event: event.worker_id == dead.id)
    assert [event.worker_id for event in here.ears.of(WorkerOffline)] == [dead.id]
    assert here.ears.of(ExecutionLost) == []


async def test_a_frozen_bus_loses_nobody(house: Opener, own_nats: Callable[[], Awaitable[NatsServer]]) -> None:
    server = await own_nats()
    here = await house(lease=LEASE, nats=server.url)
    agent = await here.agent()
    execution = (await placed(here, agent)).execution_id
    async with beating(agent, execution):
        await server.freeze()
        await asyncio.sleep(LONGER)  # it is the lease that is to run out, if it does
        await server.thaw()
        await only_who_is_silent_alone_is_lost(here)


async def test_a_bus_that_was_away_loses_nobody(house: Opener, own_nats: Callable[[], Awaitable[NatsServer]]) -> None:
    server = await own_nats()
    here = await house(lease=LEASE, nats=server.url)
    agent = await here.agent()
    execution = (await placed(here, agent)).execution_id
    await server.kill()
    await asyncio.sleep(LONGER)
    await server.start()
    back = asyncio.Event()
    forget = here.bus.on_change(lambda connected: back.set() if connected else None)
    if not here.bus.connected:
        async with asyncio.timeout(DEADLINE):
            await back.wait()
    forget()
    async with beating(agent, execution):
        await only_who_is_silent_alone_is_lost(here)


async def test_a_scheduler_that_stood_still_loses_nobody(house: Opener) -> None:
    here = await house(lease=LEASE)
    agent = await here.agent()
    execution = (await placed(here, agent)).execution_id
    async with beating(agent, execution):
        time.sleep(LONGER)  # noqa: ASYNC251  # the event loop stands still, as in a process that was stopped
        await only_who_is_silent_alone_is_lost(here)


async def test_a_database_that_holds_a_turn_up_loses_nobody(house: Opener) -> None:
    """The leases run out while everyone waits for the turn; of two heartbeats, one is behind the watch over leases."""
    here = await house(lease=LEASE)
    agent, other = await here.agent(), await here.agent(slots=0)
    execution = (await placed(here, agent)).execution_id
    async with beating(agent, execution), beating(other):
        async with here.database.transaction() as tx:
            await tx.execute("update leadership set epoch = epoch")  # a turn that writes waits for this
            await here.say(queued())
            await tx.execute("select pg_sleep($1)", LONGER)
        await here.ears.wait(TaskScheduled, 2)
        await only_who_is_silent_alone_is_lost(here)


async def test_a_scheduler_that_stood_still_takes_no_rest_worker_for_dead(house: Opener) -> None:
    here = await house(lease=LEASE)
    outbox = Outbox(here.database, here.bus, source="scheduler")
    worker = str((await here.post("/api/v1/workers", {"type": "rust"}))["id"])
    await here.database.execute("update workers set last_heartbeat = now() - interval '1 minute'")
    clock = [0.0]
    heard = HeardTime(lease=LEASE, clock=lambda: clock[0])

    async def hold(_tx: object) -> None:
        return None

    silence = Silence(WorkerStore(), outbox, heard, hold, lease=LEASE)
    clock[0] += 60
    assert await silence.run_once() == {}
    heard.prove()
    clock[0] += heard.tolerance
    assert await silence.run_once() == {}
    for _ in range(5):
        heard.prove()
        clock[0] += heard.tolerance
    assert await silence.run_once() in ({"offline": 1}, {"offline": 0})  # the house's own may have been faster
    await here.ears.wait(WorkerOffline, where=lambda event: event.worker_id == worker)


async def test_a_former_leader_writes_nothing_that_a_leader_writes(house: Opener) -> None:
    here = await house()
    await here.stack.aclose()
    outbox = Outbox(here.database, here.bus, source="scheduler")
    store, traces = TurnStore(here.database, outbox), Traces(Tracing("scheduler"))
    old, new = (Leader(store, here.bus, Counters(Metrics()), traces, lease=15, patience=19) for _ in range(2))
    await old.start()
    agent = Agent(here.bus)
    await agent.listen()
    await old.hear(agent.heartbeat())
    await old.note_heartbeats(0)
    [before] = await here.database.fetch("select * from workers")
    insert = "insert into schedules (id, status, target, next_run_at, created_at) values ($1, 'scheduled', $2, $3, $3)"
    await here.database.execute(insert, new_id(), {"command": {"command": "true"}}, now())
    await new.start()
    await old.hear(agent.heartbeat())
    firings = FiringStore(here.database)
    schedules = Schedules(ScheduleStore(here.database), firings, outbox, Ordering(firings, traces))
    always = HeardTime(lease=0)
    for write in (
        lambda: old.note_heartbeats(0),
        lambda: schedules.fire(now(), old.hold),
        lambda: Silence(WorkerStore(), outbox, always, old.hold, lease=0).run_once(),
    ):
        with pytest.raises(Unavailable, match="this scheduler's leadership"):
            await write()
    assert [before] == await here.database.fetch("select * from workers")
    assert await here.database.fetch_value("select status from schedules") == "scheduled"
