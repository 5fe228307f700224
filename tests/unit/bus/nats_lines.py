"""A server that speaks as much of the NATS protocol as a test tells it to, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Self

PING, PONG = b"PING\r\n", b"PONG\r\n"


class LineServer:
    """`received` is what came since the last connection was made; `opened` counts connections. While `silent` it leaves
    pings unanswered, and answers them when that ends.
    """

    def __init__(self) -> None:
        self.received = b""
        self.opened = 0
        self.port = 0
        self._owed = 0
        self._silent = False
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take no connections, and close the one there is."""
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()

    def send(self, lines: bytes) -> None:
        assert self._writer is not None
        self._writer.write(lines)

    def fall_silent(self) -> None:
        self._silent = True

    def answer_again(self) -> None:
        self._silent = False
        self.send(PONG * self._owed)
        self._owed = 0

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was received, or a new connection, makes it true."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.received, self._owed = writer, b"", 0
        info = {"server_id": "lines", "version": "2.15.1", "headers": True, "max_payload": 1 << 20, "proto": 1}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        self.opened += 1
        try:
            while data := await reader.read(1 << 20):
                self.received += data
                self._owed += data.count(PING)
                if not self._silent:
                    self.answer_again()
                self._changed.set()
        except ConnectionError:
            return
        finally:
            writer.close()
