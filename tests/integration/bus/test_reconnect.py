"""The server goes away and comes back on the same port: nothing is lost and nothing stays stuck."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData
from shared.bus import Bus
from shared.errors import BusUnavailable, Unavailable
from shared.telemetry import Metrics
from tests.fixtures.events import SPEC, WORKER, chunk, number, numbered, publish, publish_log
from tests.fixtures.servers import NatsServer

Events = list[CloudEvent[EventData]]


@pytest.fixture
async def server(own_nats: Callable[[], Awaitable[NatsServer]]) -> NatsServer:
    return await own_nats()


@pytest.fixture
async def lone_bus(server: NatsServer, metrics: Metrics) -> AsyncIterator[Bus]:
    bus = Bus(server.url, name="scheduler", namespace="hodei", start_deadline=10, metrics=metrics)
    await bus.start()
    await bus.declare()
    yield bus
    await bus.stop()


class Connectivity:
    """Waits for the bus to be connected, or not."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._changed = asyncio.Event()
        bus.on_change(lambda _connected: self._changed.set())

    async def becomes(self, connected: bool) -> None:
        async with asyncio.timeout(10):
            while self._bus.connected is not connected:
                self._changed.clear()
                await self._changed.wait()


async def stubbornly(bus: Bus, n: int) -> None:
    """Publish as an outbox does: again with the same id until it is acknowledged."""
    back = Connectivity(bus)
    while True:
        await back.becomes(True)
        try:
            await publish(bus, numbered(1, start=n), msg_id=f"event-{n}")
            return
        except BusUnavailable:
            continue


async def test_stopping_during_a_reconnect_is_no_cancellation(nats_url: str, namespace: str, metrics: Metrics) -> None:
    bus = Bus(nats_url, name="scheduler", namespace=namespace, start_deadline=10, metrics=metrics)
    await bus.start()
    end_of_socket = bus._connection._nc._transport._io_writer._protocol._closed  # type: ignore[union-attr]
    end_of_socket.cancel()  # as the client does when it cancels its own task that waits for it

    await bus.stop()

    assert not bus.connected


async def test_a_stop_that_is_cancelled_ends(
    nats_url: str, namespace: str, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(nats_url, name="scheduler", namespace=namespace, start_deadline=10, metrics=metrics)
    await bus.start()
    closing, close = asyncio.Event(), bus._connection._nc._close

    async def never(_status: int) -> None:
        closing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bus._connection._nc, "_close", never)
    stopping = asyncio.create_task(bus.stop())
    await closing.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await close(bus._connection._nc.CLOSED)


@pytest.mark.smoke
async def test_nothing_is_lost_over_a_killed_server(lone_bus: Bus, server: NatsServer, metrics: Metrics) -> None:
    seen: set[int] = set()
    some, complete = asyncio.Event(), asyncio.Event()

    async def handler(events: Events) -> None:
        seen.update(number(event) for event in events)
        if len(seen) >= 100:
            some.set()
        if len(seen) == 400:
            complete.set()

    consumer = lone_bus.consumer_of(SPEC, handler, decode=decode_batch)
    await consumer.start()
    try:
        state = Connectivity(lone_bus)

        async def publish_all() -> None:
            for n in range(400):
                await stubbornly(lone_bus, n)

        publishing = asyncio.create_task(publish_all())
        await some.wait()
        await server.kill()
        await state.becomes(False)
        with pytest.raises(BusUnavailable):
            await publish(lone_bus, numbered(1))
        with pytest.raises(BusUnavailable):
            await lone_bus.send("anywhere", b"")
        await server.start()
        await state.becomes(True)
        async with asyncio.timeout(40):
            await publishing
            await complete.wait()
        assert seen == set(range(400))
        assert metrics.value("hodei_bus_reconnects_total") == 1
    finally:
        await consumer.stop()


@pytest.mark.smoke
async def test_a_server_that_forgot_everything_is_set_up_again(lone_bus: Bus, server: NatsServer) -> None:
    async def handler(events: Events) -> None:
        return None

    consumer = lone_bus.consumer_of(SPEC, handler, decode=decode_batch)
    await consumer.start()
    try:
        state = Connectivity(lone_bus)
        await server.kill()
        await state.becomes(False)
        await server.forget()
        await server.start()
        await state.becomes(True)
        await publish(lone_bus, numbered(1))
        await consumer.until(lambda: consumer.handled >= 1)
    finally:
        await consumer.stop()


async def test_a_followed_log_goes_on_after_a_restart(lone_bus: Bus, server: NatsServer) -> None:
    state = Connectivity(lone_bus)
    async with lone_bus.read_log("e1", WORKER, follow=True) as reader:
        await publish_log(lone_bus, chunk("e1", 1))
        assert (await anext(reader)).seq == 1
        await server.kill()
        await state.becomes(False)
        await server.start()
        await state.becomes(True)
        await publish_log(lone_bus, chunk("e1", 2))
        async with asyncio.timeout(10):
            assert (await anext(reader)).seq == 2
        reader.finish(2)
        assert [one async for one in reader] == []


async def test_core_subscriptions_outlive_a_restart(lone_bus: Bus, server: NatsServer) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def callback(subject: str, payload: bytes, reply: str) -> None:
        heard.put_nowait(payload)

    await lone_bus.subscribe("hello.*", callback)
    state = Connectivity(lone_bus)
    await server.kill()
    await state.becomes(False)
    await server.start()
    await state.becomes(True)
    await lone_bus.send("hello.again", b"world")
    async with asyncio.timeout(5):
        assert await heard.get() == b"world"


async def test_no_server_at_all_is_one_clear_error(server: NatsServer) -> None:
    await server.stop()
    bus = Bus(server.url, name="scheduler", start_deadline=0.5)
    with pytest.raises(Unavailable, match=rf"NATS at {server.url.removeprefix('nats://')} .* is not available"):
        await bus.start()
    await bus.stop()


async def test_a_question_that_gets_no_answer_any_more_is_given_up(lone_bus: Bus, server: NatsServer) -> None:
    """Or the repair of a consumer would begin with a wait for what was asked before the server hung."""
    await server.freeze()
    questions = [
        asyncio.create_task(lone_bus.request("$JS.API.INFO", b"", timeout=300)),
        asyncio.create_task(lone_bus.request("$JS.API.INFO", b"", timeout=300)),
    ]
    await asyncio.sleep(0)
    await server.kill()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*questions, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BusUnavailable] * 2
