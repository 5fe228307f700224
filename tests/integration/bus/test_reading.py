"""Reading the stream of events in order: stored messages, new ones, and what is not kept any more."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from schemas.cloudevents import decode_batch
from schemas.events import EventData, ExecutionStarted, WorkerDraining, WorkerResumed
from schemas.subjects import EVENTS
from shared.bus import Bus, EventReader, StoredEvents
from tests.fixtures.events import numbered, publish, report, started

DRAINING, RESUMED, STARTED = (kind.event_type for kind in (WorkerDraining, WorkerResumed, ExecutionStarted))


def _data(message: StoredEvents) -> list[EventData]:
    return [event.data for event in decode_batch(message.event_type, message.payload)]


async def _stored(bus: Bus, *types: str, after: int | None = 0, since: datetime | None = None) -> list[StoredEvents]:
    reader = await bus.read_events(types, after=after, since=since, follow=False).start()
    async with asyncio.timeout(10):
        return [message async for message in reader]


async def _next(reader: EventReader) -> StoredEvents:
    async with asyncio.timeout(10):
        return await anext(reader)


async def test_what_is_stored_is_read_in_order_and_then_it_ends(bus: Bus) -> None:
    for start in range(0, 90, 3):
        await publish(bus, numbered(3, start=start))
    found = await _stored(bus, DRAINING)
    assert [message.seq for message in found] == list(range(1, 31))
    assert [data for message in found for data in _data(message)] == numbered(90)
    assert [message.seq for message in await _stored(bus, DRAINING, after=28)] == [29, 30]


async def test_only_the_wanted_types_are_read_with_the_worker_that_reported(bus: Bus) -> None:
    await publish(bus, numbered(1))
    await publish(bus, [WorkerResumed(worker_id="1")])
    own = started()
    await report(bus, [own])
    found = await _stored(bus, RESUMED, STARTED)
    assert [(message.event_type, message.worker_id) for message in found] == [(RESUMED, None), (STARTED, own.worker_id)]


async def test_a_reader_without_a_position_begins_with_what_comes_next(bus: Bus) -> None:
    await publish(bus, numbered(1))
    reader = await bus.read_events([DRAINING]).start()
    await publish(bus, numbered(1, start=1))
    assert _data(await _next(reader)) == numbered(1, start=1)
    await publish(bus, numbered(1, start=2))
    assert _data(await _next(reader)) == numbered(1, start=2)
    assert not reader.gap


async def test_a_reader_goes_on_where_it_was_after_a_reconnect(bus: Bus) -> None:
    reader = await bus.read_events([DRAINING]).start()
    await publish(bus, numbered(1))
    assert _data(await _next(reader)) == numbered(1)
    back = asyncio.Event()
    forget = bus.on_change(lambda connected: back.set() if connected else None)
    await bus.reconnect()
    async with asyncio.timeout(10):
        await back.wait()
    forget()
    await publish(bus, numbered(1, start=1))
    assert _data(await _next(reader)) == numbered(1, start=1)


async def test_a_time_to_begin_with(bus: Bus) -> None:
    await publish(bus, numbered(1))
    reader = await bus.read_events([DRAINING], after=0).start()
    await _next(reader)  # it is stored for certain
    moment = datetime.now(UTC)
    assert await _stored(bus, DRAINING, after=None, since=moment) == []
    await publish(bus, numbered(1, start=1))
    assert [_data(one) for one in await _stored(bus, DRAINING, after=None, since=moment)] == [numbered(1, start=1)]


async def test_messages_that_are_not_kept_any_more_are_noticed(bus: Bus) -> None:
    for start in range(4):
        await publish(bus, numbered(1, start=start))
    await bus._connection.api(f"STREAM.PURGE.{bus.catalogue.stream(EVENTS)}", {"seq": 3})
    reader = await bus.read_events([DRAINING], after=2, follow=False).start()
    assert (await _next(reader)).seq == 3
    assert not reader.gap
    reader = await bus.read_events([DRAINING], after=1, follow=False).start()
    assert (await _next(reader)).seq == 3
    assert reader.gap


async def test_a_reader_ends_when_the_stream_is_created_anew(bus: Bus) -> None:
    await publish(bus, numbered(1))
    reader = await bus.read_events([DRAINING]).start()
    await bus._connection.api(f"STREAM.DELETE.{bus.catalogue.stream(EVENTS)}", {})
    await bus.declare()
    async with asyncio.timeout(10):
        assert [message async for message in reader] == []


async def test_a_position_of_another_stream_is_a_gap_and_new_events_are_read(bus: Bus) -> None:
    await publish(bus, numbered(1))
    reader = await bus.read_events([DRAINING], after=1_000).start()
    assert reader.gap
    await publish(bus, numbered(1, start=1))
    assert _data(await _next(reader)) == numbered(1, start=1)
