"""Consumers on a real server: batches, failures, sharing, stopping."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import orjson
import pytest
from structlog.testing import capture_logs

from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData, ExecutionStarted
from schemas.subjects import DEAD_LETTERS, ConsumerSpec, DeadLetter
from shared.bus import Bus, BusError, Consumer
from shared.bus.failures import DEADLY_AFTER
from shared.errors import TooSlow, Unavailable
from shared.telemetry import Metrics, continued, inject
from tests.fixtures.events import SPEC, WORKER, number, numbered, publish, report, started

Events = list[CloudEvent[EventData]]
Start = Callable[..., Awaitable[Consumer[CloudEvent[EventData]]]]


@pytest.fixture
async def consume(bus: Bus) -> AsyncIterator[Start]:
    """Starts a consumer of the numbered events with a handler."""
    async with AsyncExitStack() as stack:

        async def start(
            handler: Callable[[Events], Awaitable[None]], **options: object
        ) -> Consumer[CloudEvent[EventData]]:
            consumer = bus.consumer_of(SPEC, handler, decode=decode_batch, **options)
            await consumer.start()
            stack.push_async_callback(consumer.stop)
            return consumer

        yield start


async def dead_letters(bus: Bus) -> list[DeadLetter]:
    stream = bus.catalogue.stream(DEAD_LETTERS)
    info = orjson.loads(await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5))
    letters = []
    for seq in range(1, info["state"]["messages"] + 1):
        raw = await bus.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": seq}), timeout=5)
        letters.append(DeadLetter.model_validate_json(raw))
    return letters


async def pending(bus: Bus) -> tuple[int, int]:
    """What the server has neither delivered nor seen acknowledged."""
    await bus.flush()
    stream = f"{bus.catalogue.namespace}-events"
    info = orjson.loads(await bus.request(f"$JS.API.CONSUMER.INFO.{stream}.{SPEC.durable}", b"", timeout=5))
    return info["num_pending"], info["num_ack_pending"]


async def nothing_pending(bus: Bus) -> None:
    """The server works acknowledgements off in its own time: ask until it has."""
    async with asyncio.timeout(10):
        while await pending(bus) != (0, 0):
            continue  # each question is a round trip


async def test_every_event_is_handled_once_and_in_order(bus: Bus, consume: Start) -> None:
    seen: list[int] = []

    async def handler(events: Events) -> None:
        seen.extend(number(event) for event in events)

    consumer = await consume(handler)
    for start in range(0, 1000, 10):
        await publish(bus, numbered(10, start=start))
    await consumer.until(lambda: consumer.handled == 1000)
    assert seen == list(range(1000))
    await nothing_pending(bus)


async def test_a_consumer_has_caught_up_once_what_was_stored_is_handled(bus: Bus, consume: Start) -> None:
    """Whatever comes after that; what is being handled is not."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def handler(_events: Events) -> None:
        begun.set()
        await gate.wait()

    consumer = await consume(handler)
    assert await consumer.caught_up(10), "nothing was ever stored"
    await publish(bus, numbered(3))
    await begun.wait()
    assert not await consumer.caught_up(0.3)
    waiting = asyncio.create_task(consumer.caught_up(10))
    await pending(bus)  # its question has been answered
    gate.set()
    assert await waiting
    assert consumer.handled == 3


async def test_a_consumer_catches_up_while_more_and_more_comes(bus: Bus, consume: Start) -> None:
    seen = asyncio.Event()

    async def handler(_events: Events) -> None:
        seen.set()

    async def pour() -> None:
        start = 0
        while True:
            await publish(bus, numbered(1, start=start))
            start += 1

    consumer = await consume(handler, linger_ms=0)
    pouring = asyncio.create_task(pour())
    try:
        await seen.wait()
        assert await consumer.caught_up(10)
    finally:
        pouring.cancel()


async def test_a_consumer_has_not_caught_up_where_the_server_cannot_say_so(
    bus: Bus, consume: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_events: Events) -> None:
        return None

    asked = 0

    async def without_answer(*_args: object, **_options: object) -> dict[str, object]:
        nonlocal asked
        asked += 1
        raise BusError("STREAM.INFO", "no answer")

    consumer = await consume(handler)
    assert await consumer.caught_up(5)
    monkeypatch.setattr(bus._connection, "api", without_answer)
    assert not await consumer.caught_up(0.3)
    assert asked > 1, "it asks again"


async def test_a_consumer_that_has_handled_all_there_is_is_not_behind(bus: Bus, consume: Start) -> None:
    delays: list[float] = []
    there = asyncio.Event()

    async def handler(events: Events) -> None:
        await there.wait()
        delays.append(consumer.delay())

    await publish(bus, numbered(1))
    await publish(bus, numbered(1, start=1))
    await asyncio.sleep(0.3)  # it is this that makes them late
    consumer = await consume(handler, max_events=1)
    there.set()
    await consumer.until(lambda: consumer.handled == 2 and consumer.idle)
    assert min(delays) >= 0.3
    assert consumer.delay() == 0


async def test_under_load_batches_grow(bus: Bus, consume: Start) -> None:
    sizes: list[int] = []

    async def handler(events: Events) -> None:
        sizes.append(len(events))

    consumer = await consume(handler)
    await asyncio.gather(*(publish(bus, numbered(1, start=n)) for n in range(2000)))
    await consumer.until(lambda: consumer.handled == 2000)
    assert len(sizes) < 500
    assert sum(sizes) == 2000


async def test_a_batch_is_bounded(bus: Bus, consume: Start) -> None:
    sizes: list[int] = []

    async def handler(events: Events) -> None:
        sizes.append(len(events))

    for start in range(0, 200, 10):
        await publish(bus, numbered(10, start=start))
    consumer = await consume(handler, max_events=40)
    await consumer.until(lambda: consumer.handled == 200)
    assert max(sizes) <= 40


async def test_the_first_event_after_quiet_does_not_linger(bus: Bus, consume: Start) -> None:
    handled = asyncio.Event()

    async def handler(events: Events) -> None:
        handled.set()

    await consume(handler, linger_ms=60_000)
    async with asyncio.timeout(5):
        for n in range(3):
            handled.clear()
            await publish(bus, numbered(1, start=n))
            await handled.wait()


async def test_a_poison_event_alone_goes_to_the_dead_letters(bus: Bus, consume: Start, metrics: Metrics) -> None:
    good: set[int] = set()

    async def handler(events: Events) -> None:
        if any(number(event) == 7 for event in events):
            raise ValueError("seven is bad luck")
        good.update(number(event) for event in events)

    await publish(bus, numbered(10))
    await publish(bus, numbered(10, start=10))
    consumer = await consume(handler)
    await consumer.until(lambda: consumer.handled == 20)

    assert good == set(range(20)) - {7}
    assert consumer.dead == 1
    (letter,) = await dead_letters(bus)
    assert letter.consumer == SPEC.durable
    assert letter.deliveries == SPEC.max_failures
    assert letter.error == "ValueError: seven is bad luck"
    assert isinstance(letter.event, dict)
    assert letter.event["data"]["worker_id"] == "7"
    assert metrics.value("hodei_bus_dead_letters_total", consumer=SPEC.durable) == 1
    assert metrics.value("hodei_bus_redeliveries_total", consumer=SPEC.durable) == SPEC.max_failures - 1
    await nothing_pending(bus)


async def test_poison_does_not_hold_up_what_comes_after(bus: Bus, consume: Start) -> None:
    good: set[int] = set()

    async def handler(events: Events) -> None:
        if any(number(event) == 0 for event in events):
            raise ValueError("never")
        good.update(number(event) for event in events)

    consumer = await consume(handler)
    await publish(bus, numbered(1))
    await publish(bus, numbered(5, start=1))
    await consumer.until(lambda: len(good) == 5)
    assert consumer.dead == 0  # still being tried


async def test_an_event_that_succeeds_at_the_second_try_is_no_dead_letter(bus: Bus, consume: Start) -> None:
    tries = 0

    async def handler(events: Events) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise KeyError("not yet")

    consumer = await consume(handler)
    await publish(bus, numbered(1))
    await consumer.until(lambda: consumer.handled == 1)
    assert tries == 2
    assert consumer.dead == 0


@pytest.mark.parametrize("payload", [b"not json", b'{"an":"object"}', b'[{"id":"1"}]'])
async def test_an_undecodable_message_goes_to_the_dead_letters_at_once(
    bus: Bus, consume: Start, payload: bytes
) -> None:
    seen: list[int] = []

    async def handler(events: Events) -> None:
        seen.extend(number(event) for event in events)

    consumer = await consume(handler)
    await bus.publish(bus.catalogue.event(SPEC.event_types[0]), payload, msg_id="malformed")
    await publish(bus, numbered(1))
    await consumer.until(lambda: consumer.handled == 1 and consumer.dead == 1)
    (letter,) = await dead_letters(bus)
    assert letter.event == payload.decode()
    assert letter.deliveries == 1
    assert seen == [0]
    await nothing_pending(bus)


async def test_what_is_away_is_waited_for(bus: Bus, consume: Start) -> None:
    calls: list[list[int]] = []

    async def handler(events: Events) -> None:
        calls.append([number(event) for event in events])
        if len(calls) < SPEC.max_failures + 2:
            raise Unavailable("the database")

    await publish(bus, numbered(3))
    consumer = await consume(handler)
    await consumer.until(lambda: consumer.handled == 3)
    assert calls == [[0, 1, 2]] * (SPEC.max_failures + 2)
    assert await dead_letters(bus) == []


async def test_an_event_that_is_always_too_slow_is_its_own_fault(bus: Bus, consume: Start) -> None:
    good: set[int] = set()

    async def handler(events: Events) -> None:
        if any(number(event) == 1 for event in events):
            raise TooSlow("the database")
        good.update(number(event) for event in events)

    await publish(bus, numbered(3))
    consumer = await consume(handler)
    await consumer.until(lambda: consumer.handled == 3)
    assert good == {0, 2}
    (letter,) = await dead_letters(bus)
    assert letter.error == "TooSlow: the database did not finish the request in time"


async def test_being_too_slow_now_and_then_is_nobodys_fault(bus: Bus, consume: Start) -> None:
    errors = [TooSlow("the database"), TooSlow("the database"), Unavailable("the database")] * 2
    calls: list[int] = []

    async def handler(events: Events) -> None:
        calls.append(len(events))
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]

    await publish(bus, numbered(3))
    consumer = await consume(handler)
    await consumer.until(lambda: consumer.handled == 3)
    assert calls == [3] * (len(errors) + 1)


async def test_what_fails_outside_the_handler_comes_again_after_a_growing_delay(bus: Bus) -> None:
    words: asyncio.Queue[bytes] = asyncio.Queue()
    tries = 0

    def decode(event_type: str, raw: bytes, _worker_id: str | None) -> list[CloudEvent[EventData]]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise LookupError("a fault of ours")
        return decode_batch(event_type, raw)

    async def handler(events: Events) -> None:
        return None

    async def overhear(subject: str, payload: bytes, reply: str) -> None:
        words.put_nowait(payload)

    await bus.subscribe(f"$JS.ACK.{bus.catalogue.namespace}-events.{SPEC.durable}.>", overhear)
    consumer = bus.consumer_of(SPEC, handler, decode=decode)
    await consumer.start()
    try:
        await publish(bus, numbered(1))
        await consumer.until(lambda: consumer.handled == 1)
    finally:
        await consumer.stop()
    async with asyncio.timeout(5):
        delays = [orjson.loads((await words.get()).removeprefix(b"-NAK "))["delay"] for _ in range(3)]
    assert [delay / 1e9 for delay in delays] == [0.1, 0.2, 0.4]


async def test_two_consumers_of_one_durable_share_its_events(bus: Bus, consume: Start) -> None:
    seen: list[int] = []
    met: set[str] = set()
    both, complete = asyncio.Barrier(2), asyncio.Event()

    def handler_of(name: str) -> Callable[[Events], Awaitable[None]]:
        async def handler(events: Events) -> None:
            if name not in met:
                met.add(name)
                await both.wait()  # neither goes on before the other has got something
            seen.extend(number(event) for event in events)
            if len(seen) == 200:
                complete.set()

        return handler

    await consume(handler_of("first"), pull_batch=8)
    await consume(handler_of("second"), pull_batch=8)
    async with asyncio.timeout(10):
        for n in range(200):
            await publish(bus, numbered(1, start=n))
        await complete.wait()
    assert sorted(seen) == list(range(200))


async def test_what_a_stopped_consumer_held_reaches_another_at_once(bus: Bus, consume: Start) -> None:
    entered = asyncio.Event()
    seen: list[int] = []

    async def stuck(events: Events) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def handler(events: Events) -> None:
        seen.extend(number(event) for event in events)

    first = await consume(stuck, stop_deadline=0.05, max_events=1)
    for n in range(20):
        await publish(bus, numbered(1, start=n))
    await entered.wait()
    await first.stop()
    second = await consume(handler)
    await second.until(lambda: second.handled == 20, deadline=5)
    assert sorted(seen) == list(range(20))


async def test_a_stop_that_is_cancelled_cancels_the_handler(bus: Bus, consume: Start) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(events: Events) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    consumer = await consume(stuck, stop_deadline=60)
    await publish(bus, numbered(1))
    async with asyncio.timeout(10):
        await entered.wait()
        stopping = asyncio.create_task(consumer.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await cancelled.wait()


async def test_stopping_lets_the_running_handler_finish(bus: Bus, consume: Start) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def handler(events: Events) -> None:
        entered.set()
        await go_on.wait()

    consumer = await consume(handler)
    await publish(bus, numbered(1))
    await entered.wait()
    stopping = asyncio.create_task(consumer.stop())
    go_on.set()
    await stopping
    assert consumer.handled == 1
    await nothing_pending(bus)


async def test_a_slow_handler_keeps_its_messages(bus: Bus, consume: Start, metrics: Metrics) -> None:
    """Longer than ack_wait, and yet nothing is delivered a second time."""
    spec = replace(SPEC, ack_wait=1)
    signs: asyncio.Queue[bytes] = asyncio.Queue()
    calls = 0

    async def overhear(subject: str, payload: bytes, reply: str) -> None:
        if payload == b"+WPI":
            signs.put_nowait(payload)

    async def handler(events: Events) -> None:
        nonlocal calls
        calls += 1
        for _ in range(5):  # one every third of ack_wait
            await signs.get()

    await bus.subscribe(f"$JS.ACK.{bus.catalogue.namespace}-events.{SPEC.durable}.>", overhear)
    consumer = bus.consumer_of(spec, handler, decode=decode_batch)
    await consumer.start()
    try:
        await publish(bus, numbered(1))
        await consumer.until(lambda: consumer.handled == 1)
    finally:
        await consumer.stop()
    assert calls == 1
    assert metrics.value("hodei_bus_redeliveries_total", consumer=SPEC.durable) == 0


async def test_a_deleted_consumer_is_declared_again(bus: Bus, consume: Start, metrics: Metrics) -> None:
    async def handler(events: Events) -> None:
        return None

    consumer = await consume(handler)
    await publish(bus, numbered(1))
    await consumer.until(lambda: consumer.handled == 1)
    stream = f"{bus.catalogue.namespace}-events"
    await bus.request(f"$JS.API.CONSUMER.DELETE.{stream}.{SPEC.durable}", b"", timeout=5)
    await publish(bus, numbered(1, start=1))
    await consumer.until(lambda: consumer.handled >= 3)  # a new consumer begins at the beginning


async def test_a_deleted_stream_is_declared_again(bus: Bus, consume: Start) -> None:
    async def handler(events: Events) -> None:
        return None

    consumer = await consume(handler)
    stream = f"{bus.catalogue.namespace}-events"
    await bus.request(f"$JS.API.STREAM.DELETE.{stream}", b"", timeout=5)
    await publish(bus, numbered(1))
    await consumer.until(lambda: consumer.handled == 1)


async def test_a_batch_is_handled_in_its_trace_if_all_of_it_is_of_one(bus: Bus, consume: Start) -> None:
    one, other = (f"00-{digit * 32}-{digit * 16}-01" for digit in "12")
    seen: list[tuple[int, str | None]] = []

    async def handler(events: Events) -> None:
        seen.append((len(events), inject()))

    with continued(one):
        await publish(bus, numbered(2))
    with continued(other):
        await publish(bus, numbered(1, start=2))
    consumer = await consume(handler, max_events=2)
    await consumer.until(lambda: consumer.handled == 3)
    assert seen == [(2, one), (1, other)]
    await consumer.stop()

    seen.clear()
    for traceparent in (one, other):
        with continued(traceparent):
            await publish(bus, numbered(1))
    again = await consume(handler)
    await again.until(lambda: again.handled == 2)
    assert seen in ([(2, None)], [(1, one), (1, other)])  # as they arrive: together they are of no trace


async def test_every_batch_leaves_one_line(bus: Bus, consume: Start) -> None:
    async def handler(events: Events) -> None:
        if number(events[0]) == 9:
            raise LookupError("bad")

    with capture_logs() as lines:
        with continued(f"00-{'a' * 32}-{'b' * 16}-00"):
            await publish(bus, numbered(3))
        consumer = await consume(handler)
        await consumer.until(lambda: consumer.handled == 3)
        await publish(bus, numbered(1, start=9))
        await consumer.until(lambda: consumer.dead == 1 and consumer.idle)
        await consumer.stop()
    told = [line for line in lines if line["event"] == "event_batch"]
    first, failed = told[0], told[1:]
    assert {key: first[key] for key in ("log_level", "consumer", "events", "messages", "redeliveries", "outcome")} == {
        "log_level": "info",
        "consumer": SPEC.durable,
        "events": 3,
        "messages": 1,
        "redeliveries": 0,
        "outcome": "handled",
    }
    assert first["types"] == ["workers.draining"]
    assert first["trace_id"] == "a" * 32
    assert first["duration_ms"] >= 0
    assert [line["redeliveries"] for line in failed] == [0, *[1] * (SPEC.max_failures - 1)]
    assert {line["outcome"] for line in failed} == {"failed"}
    assert all("trace_id" not in line for line in failed)


async def test_a_consumer_that_yields_counts_its_own_work_and_no_outage(bus: Bus, consume: Start) -> None:
    away = 6

    async def handler(events: Events) -> None:
        nonlocal away
        if away:
            away -= 1
            raise Unavailable("the database")

    consumer = await consume(handler, linger_ms=1, yields=1_000)
    await publish(bus, numbered(20))
    await consumer.until(lambda: consumer.handled == 20)
    await publish(bus, numbered(1, start=20))
    await consumer.until(lambda: consumer.handled == 21)


async def test_stops_in_good_order_bury_nothing_however_many_they_are(bus: Bus, consume: Start) -> None:
    taken = asyncio.Event()

    async def away(_events: Events) -> None:
        taken.set()
        raise Unavailable("the database")

    await publish(bus, numbered(1))
    for _ in range(DEADLY_AFTER):
        taken.clear()
        consumer = await consume(away)
        async with asyncio.timeout(10):
            await taken.wait()
        await consumer.stop()

    seen: Events = []

    async def handler(events: Events) -> None:
        seen.extend(events)

    consumer = await consume(handler)
    await consumer.until(lambda: consumer.handled == 1)
    assert (len(seen), consumer.dead) == (1, 0)


REPORTS_SPEC = ConsumerSpec("test-reports", "orchestrator", (ExecutionStarted.event_type,), ack_wait=30)


async def test_reports_of_agents_and_of_services_are_handled_and_foreign_ones_are_not(
    bus: Bus, metrics: Metrics
) -> None:
    seen: list[str] = []

    async def handler(events: Events) -> None:
        seen.extend(event.subject for event in events)

    own, repeated, other = started(), started(), started(str(uuid.uuid4()))
    report_subject, service_subject = bus.catalogue.events(REPORTS_SPEC.event_types[0])[::-1]
    with capture_logs() as lines:
        consumer = bus.consumer_of(REPORTS_SPEC, handler, decode=decode_batch)
        await consumer.start()
        try:
            for _ in range(3):
                await report(bus, [own, other])
            await report(bus, [started(incarnation="no id")])
            await bus.publish(report_subject.replace("*", WORKER), b"[{}]", msg_id="unreadable")
            await bus.publish(service_subject, b'{"stream":"hodei-events", "seq":12}', msg_id="answer")
            await report(bus, [own])
            await publish(bus, [repeated])
            await consumer.until(lambda: consumer.handled == 2 and consumer.idle)
        finally:
            await consumer.stop()
    assert seen == [own.execution_id, repeated.execution_id]
    assert await dead_letters(bus) == [], "a worker cannot fill the dead letters"
    kinds = {
        kind: metrics.value("hodei_foreign_reports_total", kind=kind) for kind in ("batch", "unreadable", "answer")
    }
    assert kinds == {"batch": 3, "unreadable": 2, "answer": 1}
    assert len([line for line in lines if line["log_level"] in ("warning", "error")]) == 1, "one line a second"
