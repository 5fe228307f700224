"""TLS in front of a PostgreSQL server that was built without it.

    python3 tls_front.py PORT SOCKET CERTIFICATE KEY

Clients see a server with `ssl=on`: one that asks for TLS (SSLRequest) gets it, another one goes on in plain text. The
certificate is read again for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class TlsFront:
    """Listens at `host`:`port`, 0 for a free port, and passes connections on to the server at a socket."""

    def __init__(self, socket: str, certificate: str, key: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.port = port
        self.encrypted = 0
        """How many connections asked for TLS and got it."""
        self._host = host
        self._socket = socket
        self._certificate = certificate
        self._key = key
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            begun = await reader.readexactly(len(SSL_REQUEST))
            if begun == SSL_REQUEST:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificate, self._key)
                writer.write(b"S")
                await writer.start_tls(context)
                self.encrypted += 1
                begun = b""
            server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
            server_writer.write(begun)
            await asyncio.gather(_pass(reader, server_writer), _pass(server_reader, writer))
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes, until one side ends; then the other one is closed."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int, socket: str, certificate: str, key: str) -> None:
    front = TlsFront(socket, certificate, key, host="", port=port)
    await front.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:5]))
