"""Processes that are killed or freeze with messages in hand: others have them soon, and the messages are not blamed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest

from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData
from schemas.subjects import CONSUMERS, ConsumerSpec
from shared.bus import Bus, Consumer
from shared.bus.failures import DEADLY_AFTER
from shared.telemetry import Metrics
from tests.fixtures.events import SPEC, number, numbered, publish
from tests.fixtures.processes import running, said

Events = list[CloudEvent[EventData]]
Handler = Callable[[Events], Awaitable[None]]

REAL = replace(SPEC, ack_wait=ConsumerSpec.ack_wait)
"""With the time that the platform's own consumers have."""
SOON = 5.0
"""Seconds within which a fault of a process must be over for everyone else."""
ON_A_BUSY_MACHINE = 15.0
"""The same as a test may find it: without the short `ack_wait` it is 30."""


@asynccontextmanager
async def consuming(bus: Bus, handler: Handler, **options: object) -> AsyncIterator[Consumer[CloudEvent[EventData]]]:
    consumer = bus.consumer_of(REAL, handler, decode=decode_batch, **options)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@pytest.fixture
async def holder(nats_url: str, bus: Bus) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process of the same durable consumer, which takes messages and never answers them."""
    async with running("tests.integration.bus.holder", nats_url, bus.catalogue.namespace) as process:
        await said(process, "ready")
        yield process


async def test_what_a_killed_process_held_is_handled_soon(bus: Bus, holder: asyncio.subprocess.Process) -> None:
    async def handler(events: Events) -> None:
        return None

    await publish(bus, numbered(1))
    await said(holder, "0")
    for n in range(1, 20):  # they wait in its buffer
        await publish(bus, numbered(1, start=n))
    holder.kill()
    killed = time.monotonic()
    await publish(bus, numbered(1, start=20))  # pushed to a client of which the server does not know that it is gone
    async with consuming(bus, handler) as consumer:
        await consumer.until(lambda: consumer.handled == 21, deadline=20)
    assert time.monotonic() - killed < ON_A_BUSY_MACHINE


async def test_a_frozen_process_keeps_nothing_from_the_others(bus: Bus, holder: asyncio.subprocess.Process) -> None:
    seen: set[int] = set()
    complete = asyncio.Event()

    async def handler(events: Events) -> None:
        seen.update(number(event) for event in events)
        if len(seen) == 40:
            complete.set()

    async with consuming(bus, handler) as consumer:
        holder.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        for n in range(40):  # one after the other, so that the server shares them out
            await publish(bus, numbered(1, start=n))
        async with asyncio.timeout(20):
            await complete.wait()
        assert time.monotonic() - frozen < ON_A_BUSY_MACHINE
        holder.send_signal(signal.SIGCONT)
        await publish(bus, numbered(1, start=40))
        holder.kill()
        await consumer.until(lambda: 40 in seen, deadline=10)
    assert consumer.dead == 0


async def test_a_shorter_ack_wait_reaches_a_consumer_that_exists(bus: Bus) -> None:
    asked = []
    for seconds in (30, 2):
        async with consuming_as(bus, replace(REAL, ack_wait=seconds)):
            stream = f"{bus.catalogue.namespace}-events"
            answer = await bus.request(f"$JS.API.CONSUMER.INFO.{stream}.{REAL.durable}", b"", timeout=5)
            asked.append(orjson.loads(answer)["config"]["ack_wait"] / 1e9)
    assert asked == [30, 2]


@asynccontextmanager
async def consuming_as(bus: Bus, spec: ConsumerSpec) -> AsyncIterator[None]:
    async def handler(events: Events) -> None:
        return None

    consumer = bus.consumer_of(spec, handler, decode=decode_batch)
    await consumer.start()
    yield
    await consumer.stop()


def test_no_consumer_waits_longer_for_what_a_dead_process_held() -> None:
    """A request of the frozen process is good for as long again, and the two together stay below five seconds."""
    assert all(2 * spec.ack_wait < SOON for spec in CONSUMERS)


async def test_what_waits_in_the_buffer_is_kept_as_long_as_what_is_handled(bus: Bus, metrics: Metrics) -> None:
    kept: dict[str, int] = {}
    all_kept, changed = asyncio.Event(), asyncio.Event()

    async def overhear(subject: str, payload: bytes, reply: str) -> None:
        if payload == b"+WPI":
            kept[subject] = kept.get(subject, 0) + 1
            if len(kept) == 6 and min(kept.values()) >= 6:  # for one and a half times ack_wait
                all_kept.set()

    async def handler(events: Events) -> None:
        changed.set()
        await all_kept.wait()

    await bus.subscribe(f"$JS.ACK.{bus.catalogue.namespace}-events.{REAL.durable}.>", overhear)
    await publish(bus, numbered(1))
    async with consuming(bus, handler, max_events=1) as consumer:
        await changed.wait()
        for n in range(1, 6):
            await publish(bus, numbered(1, start=n))
        await consumer.until(lambda: consumer.handled == 6, deadline=20)
    assert metrics.value("hodei_bus_redeliveries_total", consumer=REAL.durable) == 0


async def dies_with_it_in_hand(bus: Bus, *, times: int) -> None:
    """Deliver what waits so many times to a consumer that does not answer it."""
    for _ in range(times):
        taken = asyncio.Event()

        async def handler(events: Events, taken: asyncio.Event = taken) -> None:
            taken.set()
            await asyncio.Event().wait()

        async with consuming(bus, handler, stop_deadline=0.001):
            async with asyncio.timeout(10):
                await taken.wait()


async def test_messages_are_not_blamed_for_the_processes_that_held_them(bus: Bus) -> None:
    failed: list[int] = []

    async def handler(events: Events) -> None:
        if len(failed) < REAL.max_failures - 1:
            failed.append(number(events[0]))
            raise LookupError("not yet")

    await publish(bus, numbered(1))
    await dies_with_it_in_hand(bus, times=REAL.max_failures + 5)
    async with consuming(bus, handler) as consumer:
        await consumer.until(lambda: consumer.handled == 1)
        assert consumer.dead == 0
    assert len(failed) == REAL.max_failures - 1


async def test_a_message_that_ends_every_process_goes_to_the_dead_letters_alone(
    bus: Bus, nats_url: str, namespace: str
) -> None:
    """The first of those that come ever again is the culprit: what came before it was handled and acknowledged."""
    seen: list[int] = []

    async def handler(events: Events) -> None:
        seen.extend(number(event) for event in events)

    for n in range(3):
        await publish(bus, numbered(1, start=n))
    await dies_with_it_in_hand(bus, times=DEADLY_AFTER - 1)
    another = Bus(nats_url, name="orchestrator", namespace=namespace, start_deadline=10)  # a process without memories
    await another.start()
    try:
        async with consuming(another, handler) as consumer:
            await consumer.until(lambda: consumer.handled == 3)
            assert consumer.dead == 1
    finally:
        await another.stop()
    assert seen == [1, 2]
