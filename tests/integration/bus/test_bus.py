"""Publishing, declaring, and core messages."""

import asyncio
from base64 import b64decode
from datetime import timedelta

import orjson
import pytest
from jsonschema import Draft7Validator

from docs import asyncapi
from schemas.subjects import CONSUMERS, DEAD_LETTERS, EVENTS, FEED, LOGS, STREAMS, StreamSpec
from shared.bus import Bus, BusError
from shared.bus.bus import LEAST_PAYLOAD
from shared.bus.connection import Connection
from shared.errors import BusUnavailable, ConfigError, MessageTooLarge
from shared.telemetry import Metrics, continued
from tests.fixtures.events import chunk, numbered, publish, publish_log

HEADERS = orjson.loads(asyncapi.document())["components"]["schemas"]["BatchHeaders"]


async def stream_state(bus: Bus) -> dict[str, int]:
    raw = await bus.request(f"$JS.API.STREAM.INFO.{bus.catalogue.stream(EVENTS)}", b"", timeout=5)
    state: dict[str, int] = orjson.loads(raw)["state"]
    return state


async def test_a_message_published_twice_is_stored_once(bus: Bus) -> None:
    await publish(bus, numbered(1), msg_id="same")
    await publish(bus, numbered(1), msg_id="same")
    await publish(bus, numbered(1), msg_id="other")
    assert (await stream_state(bus))["messages"] == 2


@pytest.mark.parametrize("traceparent", [None, f"00-{'1' * 32}-{'1' * 16}-01"])
async def test_every_message_says_that_it_is_a_batch_of_cloud_events(bus: Bus, traceparent: str | None) -> None:
    with continued(traceparent):
        await publish(bus, numbered(1))
        await publish_log(bus, chunk("some-execution", 1))
    for stream in (EVENTS, LOGS):
        raw = await bus.request(f"$JS.API.STREAM.MSG.GET.{bus.catalogue.stream(stream)}", b'{"seq":1}', timeout=5)
        lines = b64decode(orjson.loads(raw)["message"]["hdrs"]).decode().strip().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        assert headers["Content-Type"] == "application/cloudevents-batch+json"
        assert headers.get("traceparent") == traceparent
        Draft7Validator(HEADERS).validate(headers)


async def test_many_publishes_may_be_in_flight(bus: Bus, metrics: Metrics) -> None:
    await asyncio.gather(*(publish(bus, numbered(1, start=n)) for n in range(500)))
    assert (await stream_state(bus))["messages"] == 500
    assert metrics.value("hodei_bus_published_total") == 500


async def test_a_subject_without_a_stream_fails_within_the_deadline(bus: Bus) -> None:
    with pytest.raises(BusUnavailable, match="not acknowledged"):
        await bus.publish(f"{bus.catalogue.namespace}.nowhere.at_all", b"[]", msg_id="1", deadline=0.5)


async def test_a_message_too_large_is_refused(bus: Bus) -> None:
    with pytest.raises(BusError, match="more than the server's max_payload"):
        await bus.publish(bus.catalogue.event("jobs.created"), bytes(bus.max_payload + 1), msg_id="1")


async def test_a_server_that_takes_no_large_messages_is_refused_at_the_start(
    nats_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "max_payload", property(lambda _: LEAST_PAYLOAD - 1))
    bus = Bus(nats_url, name="test", namespace=namespace, start_deadline=5)
    with pytest.raises(ConfigError, match=r"at most 524,287 bytes; the platform needs 524,288: raise max_payload"):
        await bus.start()
    assert not bus.connected


async def test_a_limit_that_somebody_set_on_a_stream_is_told_from_an_outage(bus: Bus) -> None:
    stream = bus.catalogue.stream(EVENTS)
    info = await bus._connection.api(f"STREAM.INFO.{stream}", {})
    await bus._connection.api(f"STREAM.UPDATE.{stream}", {**info["config"], "max_msg_size": 1000})
    with pytest.raises(MessageTooLarge):
        await bus.publish(bus.catalogue.event("jobs.created"), bytes(2000), msg_id="1")


async def test_what_is_said_at_once_overtakes_nothing(bus: Bus) -> None:
    heard: list[bytes] = []
    all_heard = asyncio.Event()

    async def hear(_subject: str, payload: bytes, _reply: str) -> None:
        heard.append(payload)
        if len(heard) == 300:
            all_heard.set()

    subject = f"{bus.catalogue.namespace}.spoken"
    await bus.subscribe(subject, hear)
    await bus.flush()
    for number in range(0, 300, 3):  # one past the client's own queue, one through it, one past it again
        await bus.send(subject, b"%d" % number, headers={"A": "b"})
        await bus.send_all([(subject, b"%d" % (number + 1), {"A": "b"})])
        await bus.send(subject, b"%d" % (number + 2))
    async with asyncio.timeout(10):
        await all_heard.wait()
    assert [int(payload) for payload in heard] == list(range(300))


async def test_a_connection_that_turns_out_to_be_closed_is_left_to_the_client(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_command: bytes) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")  # as uvloop says

    monkeypatch.setattr(bus._connection._nc._transport, "write", closed)
    await bus.publish(bus.catalogue.event("jobs.created"), b"[]", msg_id="1")
    assert (await stream_state(bus))["messages"] == 1


async def test_a_message_is_on_its_way_before_it_is_awaited(bus: Bus) -> None:
    stored = bus.publish(bus.catalogue.event("jobs.created"), b"[]", msg_id="1")
    await bus.flush()
    assert (await stream_state(bus))["messages"] == 1
    await stored


@pytest.mark.smoke
async def test_services_declare_at_the_same_time(nats_url: str, namespace: str) -> None:
    names = ["orchestrator", "scheduler", "worker-manager"] * 2
    buses = [Bus(nats_url, name=name, namespace=namespace, start_deadline=10) for name in names]
    await asyncio.gather(*(bus.start() for bus in buses))
    try:
        await asyncio.gather(*(bus.declare() for bus in buses))
        stream = buses[0].catalogue.stream(EVENTS)
        raw = await buses[0].request(f"$JS.API.CONSUMER.NAMES.{stream}", b"", timeout=5)
        assert set(orjson.loads(raw)["consumers"]) == {spec.durable for spec in CONSUMERS if spec is not FEED}
    finally:
        await asyncio.gather(*(bus.stop() for bus in buses))


async def test_a_changed_stream_is_brought_up_to_date(bus: Bus) -> None:
    stream = bus.catalogue.stream(EVENTS)
    info = orjson.loads(await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5))
    old = {**info["config"], "max_age": 3600 * 1_000_000_000}
    await bus.request(f"$JS.API.STREAM.UPDATE.{stream}", orjson.dumps(old), timeout=5)
    await bus.declare()
    info = orjson.loads(await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5))
    assert info["config"]["max_age"] == EVENTS.max_age * 1_000_000_000


async def test_streams_get_the_ages_of_the_settings(nats_url: str, namespace: str) -> None:
    async def declared(ages: dict[StreamSpec, timedelta | None]) -> dict[str, float]:
        """The ages in seconds, as a service with these settings declares them."""
        one = Bus(nats_url, name="orchestrator", namespace=namespace, start_deadline=10, ages=ages)
        await one.start()
        try:
            await one.declare()
            streams = [one.catalogue.stream(spec) for spec in STREAMS]
            infos = [orjson.loads(await one.request(f"$JS.API.STREAM.INFO.{name}", b"", timeout=5)) for name in streams]
        finally:
            await one.stop()
        return {spec.name: info["config"]["max_age"] / 1e9 for spec, info in zip(STREAMS, infos, strict=True)}

    assert await declared({}) == {spec.name: spec.max_age for spec in STREAMS}
    changed = await declared({DEAD_LETTERS: timedelta(hours=2), LOGS: None})
    assert changed == {spec.name: spec.max_age for spec in STREAMS} | {"dead": 7200, "logs": 0}


async def test_core_messages_reach_who_listens(bus: Bus, metrics: Metrics) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def callback(subject: str, payload: bytes, reply: str) -> None:
        if payload == b"bad":
            raise ValueError("cannot bear it")
        heard.put_nowait((subject, payload))
        if reply:
            await bus.send(reply, payload.upper())

    base = f"{bus.catalogue.namespace}.talk"
    subscription = await bus.subscribe(f"{base}.*", callback)
    await bus.send(f"{base}.a", b"bad")
    assert await bus.request(f"{base}.b", b"question", timeout=5) == b"QUESTION"
    assert await heard.get() == (f"{base}.b", b"question")
    assert metrics.value("hodei_bus_callback_failures_total", subject=f"{base}.*") == 1

    await subscription.unsubscribe()
    with pytest.raises(BusUnavailable, match="no service answers"):
        await bus.request(f"{base}.b", b"question", timeout=5)


async def test_many_messages_sent_together_arrive_in_order_with_their_headers(bus: Bus) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def callback(subject: str, payload: bytes, reply: str) -> None:
        assert subject == "many.of.them"
        heard.put_nowait(int(payload.split(b" ", 1)[0]))

    await bus.subscribe("many.of.them", callback)
    await bus.flush()
    await bus.send_all(("many.of.them", b"%d %b" % (n, b"x" * 2000), {"Number": str(n)}) for n in range(400))
    async with asyncio.timeout(5):
        assert [await heard.get() for _ in range(400)] == list(range(400))  # more than one write


@pytest.mark.parametrize(
    ("subject", "header", "says"),
    [
        ("two words", "x", "is not a subject"),
        ("fine", "a\r\nPUB evil 0", "line break"),
    ],
)
async def test_what_would_break_out_of_its_place_is_refused(bus: Bus, subject: str, header: str, says: str) -> None:
    with pytest.raises(BusError, match=says):
        await bus.send_all([(subject, b"", {"Header": header})])
    with pytest.raises(BusError, match="more than the server's max_payload"):
        await bus.send_all([("fine", bytes(bus.max_payload), {"Header": "x"})])
    assert bus.connected
