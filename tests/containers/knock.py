"""Run in a container of the production shape: what NATS lets in. Prints an object of attempts and what came of them."""

import asyncio
import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import nats

TLS = ssl.create_default_context(cafile="/keys/ca.crt")
ADDRESS = "tls://nats-1:4222"


async def knock(**options: Any) -> nats.NATS:
    return await nats.connect(ADDRESS, allow_reconnect=False, connect_timeout=5, error_cb=ignore, **options)


async def ignore(error: Exception) -> None:
    """What is refused is told by the return value."""


async def is_let_in(**options: Any) -> str:
    try:
        connection = await knock(**options)
    except (nats.errors.Error, OSError):
        return "refused"
    await connection.close()
    return "let in"


async def in_plain_text() -> str:
    """A client that goes on without TLS gets no answer to its PING."""
    reader, writer = await asyncio.open_connection("nats-1", 4222)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    answer = await reader.read()
    writer.close()
    return "let in" if b"PONG" in answer else "refused"


async def main() -> None:
    found = {"plain text": await in_plain_text()}
    found["another authority"] = await is_let_in(tls=ssl.create_default_context())
    found["no credentials"] = await is_let_in(tls=TLS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "feed.creds"
        file.write_text(os.environ["CREDENTIALS"])
        errors: asyncio.Queue[str] = asyncio.Queue()

        async def note(error: Exception) -> None:
            errors.put_nowait(str(error).lower())

        connection = await nats.connect(ADDRESS, tls=TLS, user_credentials=str(file), error_cb=note)
        await connection.subscribe("hodei.feed.>")
        await connection.flush()
        found["credentials for the feed"] = "subscribed to the feed" if errors.empty() else errors.get_nowait()
        for name, attempt in (
            ("publishing with them", connection.publish("hodei.jobs.created", b"")),
            ("subscribing to all with them", connection.subscribe(">")),
        ):
            await attempt
            async with asyncio.timeout(10):
                found[name] = "refused" if "permissions violation" in await errors.get() else "other"
        await connection.close()
    print(json.dumps(found))  # noqa: T201


asyncio.run(main())
