"""Getting messages onto the bus whatever happens to it: at once while it takes them, through the spool while not.

Reports and log chunks go the same way. As long as anything is spooled everything new goes behind it, so that the
order of one execution's messages holds. A message given to `deliver` is on the bus or on disk when it returns, and
never both lost and unlogged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from shared.errors import BusUnavailable, HodeiError
from worker_manager.agent.spool import Message, Spool, SpoolFull

log = structlog.stdlib.get_logger(__name__)

PUBLISH_DEADLINE: Final = 3.0
"""Seconds until what is not acknowledged is spooled and tried again from there."""
LAST_DEADLINE: Final = 0.5
"""The same for an agent that is about to leave: the disk is safe, and the next start tells."""
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class MessageBus(Protocol):
    """What is needed of the bus."""

    @property
    def connected(self) -> bool: ...

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = ...) -> None: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...


class Delivery:
    """The one way out for reports and logs; a service that publishes again what is spooled when the bus is back."""

    name = "delivery"

    def __init__(self, bus: MessageBus, spool: Spool) -> None:
        self._bus = bus
        self._spool = spool
        self._deadline = PUBLISH_DEADLINE
        self._unsettled: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] = lambda: None
        self._drained = asyncio.Event()
        self.lost = 0
        """Messages for which there was no room, neither on the bus nor on disk."""

    @property
    def unsettled(self) -> set[str]:
        """Executions of this start whose outcome is not on the bus yet."""
        return set(self._unsettled)

    def hold(self, execution_id: str) -> None:
        """This execution's outcome is known, and will be delivered."""
        self._unsettled[execution_id] += 1

    def hurry(self) -> None:
        """The agent is leaving: wait for the bus no longer than can be helped."""
        self._deadline = LAST_DEADLINE

    async def start(self) -> None:
        """Begin publishing what an earlier start left behind."""
        self._forget = self._bus.on_change(lambda connected: self._wake.set() if connected else None)
        if self._spool.empty:
            self._drained.set()
        else:
            self._wake.set()
        self._task = asyncio.create_task(self._replay(), name=self.name)

    async def stop(self) -> None:
        """What is not published by now stays on disk."""
        self._forget()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._spool.close()

    async def drained(self) -> None:
        """Wait until nothing is spooled."""
        await self._drained.wait()

    async def deliver(self, message: Message) -> bool:
        """Publish, or spool. False when there was no room for it anywhere."""
        if self._spool.empty and self._bus.connected:
            try:
                await self._bus.publish(
                    message.subject, message.payload, msg_id=message.msg_id, deadline=self._deadline
                )
            except BusUnavailable as error:
                log.info("spool.begun", subject=message.subject, error=str(error))
            except HodeiError as error:  # it will never take this one
                self._give_up(message, str(error))
                return False
            else:
                self._settle(message)
                return True
        return self._keep(message)

    def _keep(self, message: Message) -> bool:
        try:
            self._spool.append(message)
        except (SpoolFull, OSError) as error:
            self._give_up(message, str(error) or "the spool is full")
            return False
        self._drained.clear()
        self._wake.set()
        return True

    def _give_up(self, message: Message, error: str) -> None:
        self.lost += 1
        level = log.error if message.essential else log.warning
        level("message.lost", subject=message.subject, execution_ids=message.reports, error=error)
        self._settle(message)

    def _settle(self, message: Message) -> None:
        for execution_id in message.reports:
            if self._unsettled[execution_id] <= 1:
                del self._unsettled[execution_id]
            else:
                self._unsettled[execution_id] -= 1

    async def _replay(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._bus.connected:
                continue  # its return wakes us
            try:
                await self._publish_spooled()
                failures = 0
            except BusUnavailable as error:
                pause = _BACKOFF[min(failures, len(_BACKOFF) - 1)]
                failures += 1
                log.info("spool.still_waiting", error=str(error), pause_seconds=pause)
                await asyncio.sleep(pause)
                self._wake.set()

    async def _publish_spooled(self) -> None:
        count = 0
        while (segment := self._spool.oldest()) is not None:
            try:
                for message in self._spool.read(segment):
                    await self._publish_one(message)
                    count += 1
            except (OSError, ValueError, KeyError) as error:
                log.error("spool.segment_unreadable", segment=str(segment), error=str(error))
            self._spool.remove(segment)
        self._drained.set()
        if count:
            log.info("spool.published", messages=count)

    async def _publish_one(self, message: Message) -> None:
        try:
            await self._bus.publish(message.subject, message.payload, msg_id=message.msg_id, deadline=self._deadline)
        except BusUnavailable:
            raise
        except HodeiError as error:
            self._give_up(message, str(error))
        else:
            self._settle(message)
