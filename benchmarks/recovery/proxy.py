"""A TCP proxy on loopback that can be cut: its connections break, and new ones are refused, until it is mended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

CHUNK: Final = 1 << 16
HOST: Final = "127.0.0.1"


class Proxy:
    """Forwards its own port, which stays the same, to the port `target`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Accept connections (again)."""
        self._server = await asyncio.start_server(self._forward, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection abruptly, and refuse new ones."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        self._server = None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # the target is not available
            upstream, downstream = await asyncio.open_connection(HOST, self._target)
            self._open |= {writer, downstream}
            try:
                await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))
            finally:
                self._open -= {writer, downstream}
                downstream.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # cut
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
