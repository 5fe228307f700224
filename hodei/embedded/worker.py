"""The worker of `hodei up`: requested from the worker manager, watched, and replaced when it ends unrequested.

The worker manager owns the process but does not restart it; that is left to the client that requested the worker. Linux
only, like the worker manager's processes.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import ValidationError

from hodei.embedded.backoff import Backoff
from hodei.embedded.errors import EmbeddedError
from schemas.rest.problem import Problem
from schemas.rest.workers import ManagedWorker
from schemas.states import WorkerProcessStatus

ALIVE: Final = frozenset({WorkerProcessStatus.STARTING, WorkerProcessStatus.RUNNING, WorkerProcessStatus.DRAINING})
ASK_AGAIN: Final = 0.2
"""Seconds between two requests to a worker manager that is away, or that has not yet noticed the end of a process."""
LOOK_AGAIN: Final = 30.0
"""Seconds after which the worker manager is asked even if the process seems to live."""
CLOCK_STEP: Final = 0.1
"""The most seconds by which a file's time may lie before the clock's: file systems count in ticks."""
QUESTION: Final = aiohttp.ClientTimeout(total=5)
START: Final = aiohttp.ClientTimeout(total=60)
"""The worker manager answers a request for a worker after its first heartbeat, which takes long on a busy machine."""


PATIENCE: Final = 10.0
"""Seconds for which a worker manager that has not read the list of tokens yet is asked again."""
TOKENS_UNREAD: Final = "urn:hodei:problem:tokens-unread"


class NotYet(EmbeddedError):
    """The worker manager has not read the list of tokens yet."""


class KeptWorker:
    """One worker. `wanted` is the body of `POST /api/v1/workers`; `folder` holds the data and the log of the worker
    manager; `say` is called with lines for the person at the terminal."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        manager: str,
        wanted: Mapping[str, object],
        *,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._manager_log = folder / "logs" / "worker_manager.log"
        self._session = session
        self._workers = f"{manager}/api/v1/workers"
        self._wanted = wanted
        self._say = say
        self._backoff = Backoff()
        self._key = uuid.uuid4().hex
        self._worker: ManagedWorker | None = None

    async def start(self) -> None:
        """Return once the worker runs. Raises EmbeddedError; if the worker starts nevertheless, the next call returns
        it."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return await self._start()
            except NotYet:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(ASK_AGAIN)

    async def _start(self) -> None:
        headers = {"Idempotency-Key": self._key}
        asked_at = time.time()
        try:
            async with self._session.post(self._workers, json=self._wanted, headers=headers, timeout=START) as answer:
                body = await answer.read()
                if answer.status != 200:
                    kind = NotYet if TOKENS_UNREAD.encode() in body else EmbeddedError
                    raise kind(f"{refusal_in_words(answer.status, body)} (see {self._log(asked_at)})")
                self._worker = ManagedWorker.model_validate_json(body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or f"no answer in {START.total:g} s"
            raise EmbeddedError(
                f"the worker manager did not start a worker: {why} (see {self._manager_log})"
            ) from error
        self._key = uuid.uuid4().hex
        self._backoff.began()

    async def keep(self) -> None:
        """Replace the worker whenever it ends. Returns when it was stopped over REST. Call `start` first."""
        while True:
            worker = await self._over()
            if worker.stop_requested:
                self._say(f"the worker {worker.name} was stopped over REST, so it is not replaced")
                return
            delay = self._backoff.delay()
            self._say(f"the worker {worker.name} ended ({worker.detail}), starting another one in {delay:g} s")
            await asyncio.sleep(delay)
            await self._replace()

    def _log(self, since: float) -> Path:
        """The log with the reason of a failure: that of a worker started since then, else that of the worker
        manager."""
        logs = {log: log.stat().st_mtime for log in (self._folder / "workers").glob("*/agent.log")}
        newest = max(logs, key=lambda log: logs[log], default=None)
        if newest is None or logs[newest] < since - CLOCK_STEP:
            return self._manager_log
        return newest

    async def _replace(self) -> None:
        told = ""
        while True:
            try:
                await self.start()
                return
            except EmbeddedError as error:
                if str(error) != told:  # once for each reason
                    told = str(error)
                    self._say(f"{told}; trying again")
                await asyncio.sleep(self._backoff.delay())

    async def _over(self) -> ManagedWorker:
        """Wait until the worker manager has recorded the worker's end. Returns the worker."""
        assert self._worker is not None
        while self._worker.status in ALIVE:
            if self._worker.pid is not None:
                await _ended(self._worker.pid, within=LOOK_AGAIN)
            # The worker manager notices the end of a process a moment later, or after its own restart.
            await asyncio.sleep(ASK_AGAIN)
            await self._look(self._worker)
        return self._worker

    async def _look(self, worker: ManagedWorker) -> None:
        """Update the worker from the worker manager, if that answers."""
        try:
            async with self._session.get(f"{self._workers}/{worker.id}", timeout=QUESTION) as answer:
                if answer.status == 200:
                    self._worker = ManagedWorker.model_validate_json(await answer.read())
                elif answer.status == 404:
                    gone = {"status": WorkerProcessStatus.FAILED, "detail": "the worker manager does not know it"}
                    self._worker = worker.model_copy(update=gone)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return  # the worker manager or its database is restarting


def refusal_in_words(status: int, body: bytes) -> str:
    """The reason in a service's error response: the detail of its problem document, or else its HTTP status."""
    try:
        return Problem.model_validate_json(body, extra="ignore").detail
    except ValidationError:
        return f"the answer was HTTP status {status}"


async def _ended(pid: int, *, within: float) -> None:
    """Return when the process has ended, or after `within` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        async with asyncio.timeout(within):
            await gone.wait()
    except TimeoutError:
        return
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
