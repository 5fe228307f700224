"""The feed says every event of the bus again, one by one."""

import asyncio
import uuid

import orjson

from orchestrator.feed import Feed
from schemas.events import WorkerDraining
from shared.bus import Bus
from shared.telemetry import Metrics
from tests.fixtures.events import WORKER, numbered, publish, report, started


async def test_each_event_is_said_alone_with_its_entity_in_the_subject(bus: Bus) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def callback(subject: str, payload: bytes, reply: str) -> None:
        heard.put_nowait((subject, payload))

    await bus.subscribe(f"{bus.catalogue.namespace}.feed.workers.*.draining", callback)
    feed = Feed(bus)
    await feed.start()
    try:
        await publish(bus, numbered(3))
        async with asyncio.timeout(5):
            said = [await heard.get() for _ in range(3)]
    finally:
        await feed.stop()
    assert [subject for subject, _ in said] == [
        bus.catalogue.feed("workers.draining", worker_id) for worker_id in ("0", "1", "2")
    ]
    event = orjson.loads(said[0][1])
    assert event["type"] == "hodei.workers.draining.v1"
    assert event["data"] == {"worker_id": "0", "ordered": False}


async def test_what_is_no_event_does_not_stop_the_feed(bus: Bus) -> None:
    feed = Feed(bus)
    await feed.start()
    try:
        await bus.publish(bus.catalogue.event(WorkerDraining.event_type), b"{}", msg_id="odd")
        await publish(bus, numbered(1))
        await feed.consumer.until(lambda: feed.consumer.handled == 1 and feed.consumer.dead == 1)
    finally:
        await feed.stop()


async def test_the_feed_repeats_a_workers_own_reports_only(bus: Bus, metrics: Metrics) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def callback(subject: str, _payload: bytes, _reply: str) -> None:
        heard.put_nowait(subject)

    await bus.subscribe(f"{bus.catalogue.namespace}.feed.executions.>", callback)
    feed = Feed(bus)
    await feed.start()
    try:
        own = started()
        await report(bus, [started(str(uuid.uuid4()))])
        await report(bus, [started(execution_id="*")])
        await report(bus, [started()], event_id="1\r\nOther: header")
        await report(bus, [own])
        await feed.consumer.until(lambda: feed.consumer.handled == 1)
        async with asyncio.timeout(5):
            assert await heard.get() == bus.catalogue.feed("executions.started", own.execution_id)
    finally:
        await feed.stop()
    assert heard.empty()
    assert (feed.consumer.dead, metrics.value("hodei_foreign_reports_total", kind="batch")) == (0, 3)
    assert own.worker_id == WORKER
