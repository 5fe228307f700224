"""What the connection says when no server admits this process, and that it forgets it once one does."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest
from structlog.testing import capture_logs

from shared.bus import Bus
from shared.errors import Unavailable

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: to close is to reset."""


async def test_a_reset_does_not_hide_that_the_server_admits_nobody() -> None:
    """A server that refuses closes at once; the client may meet the reset before it reads the reason."""
    attempts = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.write(b"INFO " + json.dumps({"server_id": "closed", "max_payload": 1 << 20}).encode() + b"\r\n")
        await reader.readline()
        if attempts == 1:
            writer.write(b"-ERR 'Authorization Violation'\r\n")
        else:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    bus = Bus(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="scheduler", start_deadline=1.5)

    with pytest.raises(Unavailable, match=r"'Authorization Violation'.*asks for credentials"):
        await bus.start()

    server.close()
    assert attempts > 1


async def test_a_reset_after_the_admission_is_not_blamed_on_an_earlier_refusal() -> None:
    admitted: list[asyncio.StreamWriter] = []
    attempts = 0

    async def refuse_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.write(b"INFO " + json.dumps({"server_id": "open", "max_payload": 1 << 20}).encode() + b"\r\n")
        await reader.readline()
        if attempts == 1:
            writer.write(b"-ERR 'Authorization Violation'\r\n")
            writer.close()
            return
        admitted.append(writer)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")

    server = await asyncio.start_server(refuse_the_first, "127.0.0.1", 0)
    bus = Bus(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="scheduler", start_deadline=10)
    await bus.start()
    away = asyncio.Event()
    bus.on_change(lambda connected: connected or away.set())

    with capture_logs() as logs:
        for writer in admitted:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()
        async with asyncio.timeout(10):
            await away.wait()
    server.close()
    await bus.stop()

    told = [log["error"] for log in logs if log["event"] in ("bus.client_error", "bus.disconnected")]
    assert told
    assert not any("Authorization" in error for error in told)
