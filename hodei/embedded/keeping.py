"""Keeps an embedded server running: restarts it when it dies, and when it runs but no longer works.

This module decides when to restart; nats.py and postgres.py do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import aiohttp

from hodei.embedded import folder
from hodei.embedded.backoff import Backoff
from hodei.embedded.errors import EmbeddedError
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from schemas.endings import ending_in_words

LOOK: Final = 1.0
"""Seconds between two checks of a server."""

Say = Callable[[str], None]


class Server(Protocol):
    async def start(self) -> None: ...
    async def wait(self) -> int: ...
    async def restart(self) -> None: ...


async def keep_server(name: str, server: Server, say: Say) -> None:
    """Restart a server on its data and port whenever it dies."""
    backoff = Backoff()
    while True:
        backoff.began()
        code = await server.wait()
        delay = backoff.delay()
        say(f"{name} {ending_in_words(code)}, restarting it in {delay:g} s")
        await asyncio.sleep(delay)
        await _restart(name, server, backoff, say)


async def heal_nats(nats: EmbeddedNats, session: aiohttp.ClientSession, say: Say) -> None:
    """Restart a NATS server that stores no messages although its disk has room again.

    JetStream remembers the first write error of a stream until the server ends, and stores nothing in that stream. When
    it runs out of space in another way, it may turn itself off.
    """
    told = ""
    backoff = Backoff()
    while True:
        await asyncio.sleep(LOOK)
        problem = await nats.problem(session)
        if problem is None:
            told = ""
            continue
        if problem != told:
            say(f"NATS cannot store messages: {problem}")
            told = problem
        if await asyncio.to_thread(folder.has_room, nats.data_dir):
            say("there is room again, but NATS still reports the error: restarting it")
            nats.ask_to_stop()  # keep_server starts it again
            await asyncio.sleep(backoff.delay())
            backoff.began()


async def hasten_postgres(postgres: EmbeddedPostgres, say: Say) -> None:
    """Stop a PostgreSQL that received SIGTERM and waits for its clients to disconnect.

    After SIGTERM it accepts no new connections and keeps the old ones. The services never disconnect, so it would never
    end.
    """
    while True:
        await asyncio.sleep(LOOK)
        if postgres.is_stopping:
            say("PostgreSQL is shutting down and waits for its clients: closing their connections")
            postgres.end_fast()  # keep_server starts it again
            while postgres.is_stopping:  # noqa: ASYNC110  # a state in a file has no event
                await asyncio.sleep(LOOK)


async def _restart(name: str, server: Server, backoff: Backoff, say: Say) -> None:
    told = ""
    while True:
        try:
            await server.restart()
            return
        except EmbeddedError as error:
            delay = backoff.delay()
            if str(error) != told:  # once for each reason, however long that lasts
                told = str(error)
                say(f"{name} cannot be restarted: {told}; trying every {delay:g} s or later")
            await asyncio.sleep(delay)
