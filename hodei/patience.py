"""How long `hodei run` retries while a service is away: long enough for a restart, but not for ever."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from hodei.client import ApiError, ClientError, Unreachable
from hodei.client.transport import RETRIED_STATUSES
from hodei.embedded.terminal import say
from schemas.rest.jobs import JobDetail

PATIENCE: Final = 60.0
"""Seconds for which a service may be away, and for which a cancelled job may go on, before `hodei run` gives up."""
PAUSE: Final = 1.0
LAST_ANSWER: Final = 5.0
"""Seconds beyond PATIENCE for a request that is in progress then."""
TOLD_AFTER: Final = 1.0
"""Seconds of failures after which a message explains what the program waits for."""
TOLD_WITHOUT_ANSWER: Final = 5.0
"""The same when a service does not answer at all, because it may be busy."""

T = TypeVar("T")


def passes(error: ClientError) -> bool:
    """Whether a retry may succeed."""
    return isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.status in RETRIED_STATUSES)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Retry `ask` until it returns. The service may be away for PATIENCE seconds. Raises ClientError."""
    clock = asyncio.get_running_loop().time
    away_since = clock()
    while True:
        asked_at = clock()
        try:
            return await ask()
        except ClientError as error:
            if clock() - asked_at > PATIENCE:
                away_since = clock()  # the service was reachable for a long time before
            if not passes(error) or clock() - away_since > PATIENCE:
                raise
        await asyncio.sleep(PAUSE)


class Submission:
    """A request for one job, sent with one Idempotency-Key until the platform answers, for at most PATIENCE seconds.

    Once `stop` is set, a job that the platform cannot have received is not sent again.
    """

    def __init__(self, send: Callable[[str], Awaitable[JobDetail]], stop: asyncio.Event) -> None:
        """`send` requests the job with an Idempotency-Key and returns it."""
        self.key = str(uuid.uuid4())
        self.perhaps_received = False
        """Whether the job may have been accepted although no response came."""
        self._send, self._stop = send, stop
        self._error: ClientError | None = None
        self._failed = asyncio.Event()

    async def answer(self) -> JobDetail:
        """The job that was created. Raises ClientError."""
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE + LAST_ANSWER):
                return await self._ask(until=started + PATIENCE)
        except TimeoutError:
            self.perhaps_received = True
            raise self._error or Unreachable("no answer in time", perhaps_received=True) from None

    def note(self, error: ClientError) -> None:
        """Note why the request is sent again."""
        self._error = error
        self._failed.set()

    async def tell(self) -> None:
        """After a while, print that the job is not accepted yet, and why."""
        await asyncio.sleep(TOLD_AFTER)
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHOUT_ANSWER):
                await self._failed.wait()
        why = self._error or "no answer"
        say(f"the job is not accepted yet ({why}); trying for {PATIENCE:g} s in all, Ctrl-C stops trying")

    async def _ask(self, *, until: float) -> JobDetail:
        while True:
            try:
                return await self._send(self.key)
            except ClientError as error:
                failure = error
                self.note(error)
                self.perhaps_received = self.perhaps_received or error.perhaps_received
                if not passes(error) or asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(PAUSE)
            if self._stop.is_set() and not self.perhaps_received:
                raise failure
