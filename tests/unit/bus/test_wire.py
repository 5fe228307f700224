"""What this client does beyond nats-py, seen from the server's side of the protocol.

Two tests also run on nats-py's own client and fail when it no longer has the fault: the part of `shared.bus.wire` that
mends it can then go.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus import wire
from shared.bus.errand import Errand, run_errand
from shared.bus.errors import BusError, TooLarge
from shared.bus.wire import WireClient, publish_lines, repeated_lines
from shared.keys import Credentials, KeyPair, Kind
from tests.unit.bus.nats_lines import PING, LineServer

BUS = Path(wire.__file__).parent
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def server() -> AsyncIterator[LineServer]:
    async with LineServer() as server:
        yield server


@pytest.fixture
async def connect(server: LineServer) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def connect(kind: type[Client] = WireClient, **options: Any) -> Client:
        client = kind()
        clients.append(client)

        async def ignore(_error: Exception) -> None:
            """nats-py would log it."""

        await client.connect(
            server.url,
            max_reconnect_attempts=-1,
            **{"error_cb": ignore, "reconnect_time_wait": 0.01, **options},
        )
        return client

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture
async def client(connect: Connect) -> WireClient:
    client = await connect()
    assert isinstance(client, WireClient)
    return client


@pytest.mark.parametrize(
    ("headers", "reply", "lines"),
    [
        ({}, "", b"PUB a.b 2\r\nhi\r\n"),
        ({}, "inbox.1", b"PUB a.b inbox.1 2\r\nhi\r\n"),
        ({"A": "b"}, "", b"HPUB a.b 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n"),
        ({"A": "é", "B": ""}, "inbox.1", b"HPUB a.b inbox.1 24 26\r\nNATS/1.0\r\nA: \xc3\xa9\r\nB: \r\n\r\nhi\r\n"),
    ],
)
def test_lengths_are_those_of_the_protocol(headers: Mapping[str, str], reply: str, lines: bytes) -> None:
    assert publish_lines("a.b", b"hi", headers, reply=reply, limit=100) == lines


@pytest.mark.parametrize("subject", ["", "two words", "a\r\nPUB evil 0", " a", "a\t"])
def test_a_subject_cannot_break_out_of_its_line(subject: str) -> None:
    with pytest.raises(BusError, match="is not a subject"):
        publish_lines(subject, b"", {}, limit=100)


@pytest.mark.parametrize("value", ["a\r\nPUB evil 0", "a\nb", "a\rb"])
def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    with pytest.raises(BusError, match="the header A contains a line break"):
        publish_lines("a", b"", {"A": value}, limit=100)


@pytest.mark.parametrize("headers", [{}, {"A": "b"}])
def test_headers_count_towards_the_limit(headers: Mapping[str, str]) -> None:
    room = 100 - (18 if headers else 0)
    assert publish_lines("a", bytes(room), headers, limit=100)
    with pytest.raises(TooLarge):
        publish_lines("a", bytes(room + 1), headers, limit=100)


def test_one_payload_goes_to_many_subjects() -> None:
    assert repeated_lines(["a", "b.c"], b"+ACK") == b"PUB a 4\r\n+ACK\r\nPUB b.c 4\r\n+ACK\r\n"
    assert repeated_lines([], b"+ACK") == b""


async def test_a_line_written_now_needs_no_other_turn_of_the_loop(client: WireClient, server: LineServer) -> None:
    assert client.writes_now
    assert client.write_now(b"PUB now 1\r\nx\r\n")
    await server.until(lambda: server.received.endswith(b"PUB now 1\r\nx\r\n"))


async def test_nothing_is_written_now_that_would_overtake(client: WireClient, server: LineServer) -> None:
    await client.publish("queued", b"1")
    assert not client.writes_now
    await client.write(b"PUB behind 1\r\n2\r\n")
    await client.flush()
    assert client.writes_now
    assert client.write_now(b"PUB last 1\r\n3\r\n")
    await client.flush()
    places = [server.received.index(subject) for subject in (b"PUB queued", b"PUB behind", b"PUB last")]
    assert places == sorted(places)


async def test_lines_written_while_disconnected_are_kept(connect: Connect, server: LineServer) -> None:
    disconnected = asyncio.Event()

    async def note() -> None:
        disconnected.set()

    client = await connect(disconnected_cb=note)
    assert isinstance(client, WireClient)
    await server.close()
    async with asyncio.timeout(10):
        await disconnected.wait()
    assert not client.writes_now
    await client.write(b"PUB kept 1\r\nx\r\n")
    await server.listen()
    await server.until(lambda: server.received.endswith(b"PUB kept 1\r\nx\r\n"))
    assert server.opened == 2


async def test_a_client_that_wants_tls_tells_nothing_to_a_server_without_it(server: LineServer) -> None:
    """The server may be whoever stands between. nats-py's own client goes on in plain text."""
    wanting = WireClient(tls=True)
    with pytest.raises(nats_errors.SecureConnWantedError):
        await wanting.connect(server.url, allow_reconnect=False)
    assert server.received == b""
    await wanting.close()

    naive = Client()
    await naive.connect(server.url.replace("nats://", "tls://"))
    assert server.received.startswith(b"CONNECT ")
    await naive.close()


@pytest.mark.parametrize("kind", [WireClient, Client])
async def test_a_late_pong_does_not_end_the_reading(kind: type[Client], connect: Connect, server: LineServer) -> None:
    client = await connect(kind)
    heard = await _listen(client)
    server.fall_silent()
    with pytest.raises(nats_errors.FlushTimeoutError):
        await client.flush(0.05)  # type: ignore[arg-type]  # annotated int, used as seconds
    server.answer_again()
    server.send(b"MSG a 1 2\r\nhi\r\n")
    if kind is Client:
        await _until_reading_ends(client)
        assert heard.empty()
        return
    async with asyncio.timeout(10):
        assert await heard.get() == b"hi"
    assert server.opened == 1


@pytest.mark.parametrize("kind", [WireClient, Client])
async def test_a_line_that_cannot_be_read_leads_to_a_new_connection(
    kind: type[Client], connect: Connect, server: LineServer
) -> None:
    client = await connect(kind)
    heard = await _listen(client)
    server.send(b"INFO {not JSON}\r\n")
    if kind is Client:
        await _until_reading_ends(client)
        assert client.is_connected
        return
    await server.until(lambda: server.opened == 2 and b"SUB a  1\r\n" in server.received)
    server.send(b"MSG a 1 2\r\nhi\r\n")
    async with asyncio.timeout(10):
        assert await heard.get() == b"hi"


@pytest.mark.parametrize("kind", [WireClient, Client])
@pytest.mark.parametrize("how", ["Expired", "Revoked"])
async def test_credentials_that_ended_lead_to_a_new_connection(
    kind: type[Client], how: str, connect: Connect, server: LineServer
) -> None:
    closed = asyncio.Event()
    errors: list[Exception] = []

    async def note_closed() -> None:
        closed.set()

    async def note(error: Exception) -> None:
        errors.append(error)

    client = await connect(kind, error_cb=note, closed_cb=note_closed)
    heard = await _listen(client)
    server.send(f"-ERR 'User Authentication {how}'\r\n".encode())
    if kind is Client:
        async with asyncio.timeout(10):
            await closed.wait()
        return
    await server.until(lambda: server.opened == 2 and b"SUB a  1\r\n" in server.received)
    server.send(b"MSG a 1 2\r\nhi\r\n")
    async with asyncio.timeout(10):
        assert await heard.get() == b"hi"
    ended = [error for error in errors if isinstance(error, wire.CredentialsEnded)]
    assert [error.revoked for error in ended] == [how == "Revoked"]


@pytest.mark.parametrize("kind", [WireClient, Client])
@pytest.mark.parametrize(
    "error",
    [
        "maximum connections exceeded",
        "maximum account active connections exceeded",
        "Authorization Violation",
        "Authentication Timeout",
        "Connection Throttled",
        "Maximum Payload Violation",
        "Parser Error",
        "an error of a later server",
    ],
)
async def test_an_error_of_the_server_leads_to_a_new_connection(
    kind: type[Client], error: str, connect: Connect, server: LineServer
) -> None:
    closed = asyncio.Event()
    errors: list[str] = []

    async def note_closed() -> None:
        closed.set()

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await connect(kind, error_cb=note, closed_cb=note_closed)
    heard = await _listen(client)
    server.send(f"-ERR '{error}'\r\n".encode())
    if kind is Client:
        async with asyncio.timeout(10):
            await closed.wait()
        return
    await server.until(lambda: server.opened == 2 and b"SUB a  1\r\n" in server.received)
    server.send(b"MSG a 1 2\r\nhi\r\n")
    async with asyncio.timeout(10):
        assert await heard.get() == b"hi"
    assert f"nats: {error.lower()}" in errors


@pytest.mark.parametrize(
    "error",
    [
        'Permissions Violation for Publish to "a"',
        "Invalid Subject",
        "Invalid Publish Subject",
        "maximum subscriptions exceeded",
    ],
)
async def test_an_error_after_which_the_server_reads_on_keeps_the_connection(
    error: str, connect: Connect, server: LineServer
) -> None:
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await connect(error_cb=note)
    heard = await _listen(client)
    server.send(f"-ERR '{error}'\r\nMSG a 1 2\r\nhi\r\n".encode())
    async with asyncio.timeout(10):
        assert await heard.get() == b"hi"
    await client.flush()
    assert errors == [f"nats: {error.lower()}"]
    assert server.opened == 1


async def test_a_server_that_always_answers_with_an_error_is_asked_with_pauses(
    connect: Connect, server: LineServer
) -> None:
    pause = 0.2
    client = await connect(reconnect_time_wait=pause)
    await client.flush()
    loop = asyncio.get_running_loop()
    began = loop.time()
    server.send(b"-ERR 'Connection Throttled'\r\n")
    await server.until(lambda: server.opened == 2 and PING in server.received)
    assert loop.time() - began >= pause * 0.9


async def test_the_limit_of_a_message_is_that_of_the_newest_info(client: WireClient, server: LineServer) -> None:
    assert client.max_payload == 1 << 20
    server.send(b'INFO {"max_payload":65536}\r\n')
    await client.flush()
    assert client.max_payload == 65536
    server.send(b"INFO {}\r\n")
    await client.flush()
    assert client.max_payload == 65536


def test_no_other_module_goes_past_nats_py() -> None:
    past = re.compile(r'_nc\._|b"H?PUB |b"SUB ')
    found = {path.name for path in BUS.glob("*.py") if past.search(path.read_text())}
    assert found == {"wire.py"}


async def _listen(client: Client) -> asyncio.Queue[bytes]:
    """The payloads that come in on the client's only subscription, number 1, to the subject `a`."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(message.data)

    await client.subscribe("a", cb=hear)
    await client.flush()
    return heard


async def _until_reading_ends(client: Client) -> None:
    assert client._reading_task is not None
    async with asyncio.timeout(10):
        await asyncio.wait([client._reading_task])


async def test_an_errand_ends_when_it_is_cancelled(server: LineServer) -> None:
    pair = KeyPair.new(Kind.USER)
    held = Credentials("e30.e30.e30", pair.seed)
    running = asyncio.create_task(run_errand(server.url, Errand(held, "_INBOX.x", "ask", b"?"), name="test"))
    await server.until(lambda: b"PUB ask" in server.received)
    running.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await running
