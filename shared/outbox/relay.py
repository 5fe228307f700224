"""The relay: publishes committed outbox rows, and has them deleted once the bus has acknowledged them.

It gets rows from memory right after each commit. The table is read only to recover: after the bus was unavailable, the
memory was full, or another process died. A row is deleted only after its acknowledgement. So it is never lost and may
be published twice, with the same message id if the same rows are merged again. Of each event type one message is in
flight at a time, and rows that wait meanwhile are merged into the next one (`shared.outbox.messages`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Final

import structlog

from schemas.subjects import FOR_PEOPLE
from shared.errors import BusUnavailable
from shared.outbox.messages import Message, Row, compose
from shared.outbox.sending import Publisher, Sender
from shared.outbox.table import PAGE_DEADLINE, Acknowledged, Pages
from shared.postgres import Database
from shared.service import Counts, Loop
from shared.telemetry import Metrics

SWEEP_INTERVAL: Final = 2.0
LEFTOVER_AGE: Final = 3.0
"""Age in seconds from which the sweep takes rows that no process holds: with the interval, they go out within five."""

MAX_ROWS: Final = 4096
MAX_BYTES: Final = 32 << 20
STOP_PATIENCE: Final = 2.0
QUIET: Final = 8
"""After a message of at most so many events, the next one of its type is not delayed."""

NO_HURRY: Final = 0.025
"""Seconds for which events are batched that no service acts on: fewer messages, and other events go first."""

_log = structlog.get_logger(__name__)


class Relay(Loop):
    """Publishes one process's outbox. As a loop it sweeps: `run_once` publishes a page of rows that others left.

    `relay_id` is the UUID under which this process writes rows; `linger` is in seconds.
    """

    def __init__(
        self,
        database: Database,
        bus: Publisher,
        *,
        relay_id: str,
        source: str,
        linger: float,
        metrics: Metrics,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        leftover_age: float = LEFTOVER_AGE,
        page_deadline: float = PAGE_DEADLINE,
    ) -> None:
        super().__init__("outbox", interval=SWEEP_INTERVAL)
        self._bus = bus
        self.sender = Sender(bus, source=source, metrics=metrics)
        self._pages = Pages(
            database,
            self.sender,
            relay_id=relay_id,
            leftover_age=leftover_age,
            deadline=page_deadline,
            metrics=metrics,
        )
        self._linger = linger
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._pending: deque[Row] = deque()
        self._pending_bytes = 0
        self._busy: set[str] = set()
        self._in_flight: set[int] = set()
        self._acknowledged = Acknowledged(database)
        self._sending: set[asyncio.Task[None]] = set()
        self._behind = False
        """True while the table, not the memory, is the queue."""
        self._missed = False
        """Rows were committed since recovery last began to read."""
        self._recovery: asyncio.Task[None] | None = None
        self._landed = asyncio.Event()
        """Nothing is in flight."""
        self._idle = asyncio.Event()
        """Nothing is in flight, and nothing waits in memory."""
        self._changed = asyncio.Event()
        self._unlisten: Callable[[], None] = lambda: None
        self._running = False

    @property
    def held(self) -> int:
        """How many rows are in memory."""
        return len(self._pending) + len(self._in_flight) + len(self._acknowledged.ids)

    async def start(self) -> None:
        self._running = self._acknowledged.running = True
        self._signal()
        self._unlisten = self._bus.on_change(self._on_change)
        await super().start()

    async def stop(self) -> None:
        """Publish what is in memory, within two seconds; the rest stays in the table for the next process."""
        self._running = self._acknowledged.running = False
        self._unlisten()
        await super().stop()
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})
        try:
            async with asyncio.timeout(STOP_PATIENCE):
                await self.idle()
        except TimeoutError:
            _log.warning("outbox.left_for_later", rows=self.held)
        for task in self._sending:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending)
        await self.flush()

    def feed(self, rows: Sequence[Row]) -> None:
        """Take rows that were just committed, without waiting. When memory is full they are left to recovery."""
        if not self._running:
            return  # the next process finds them in the table
        if self._behind:
            self._missed = True
            return
        size = sum(len(row.payload) for row in rows)
        full = self.held + len(rows) > self._max_rows or self._pending_bytes + size > self._max_bytes
        if full or not self._bus.connected:
            self._fall_behind("memory is full" if full else "the bus is away")
            return
        self._pending.extend(rows)
        self._pending_bytes += size
        self._hold(rows)
        self._dispatch()

    async def idle(self) -> None:
        """Wait until nothing is waiting in memory or in flight, and nothing is to be recovered."""
        while not self._idle.is_set() or (self._behind and self._running):
            if self._behind and self._running and self._recovery is not None:
                await asyncio.wait({self._recovery})
            await self._idle.wait()

    async def flush(self) -> None:
        """Delete the rows that are acknowledged."""
        await self._acknowledged.flush()

    # ---------------------------------------------------------------- live: memory → bus

    def _hold(self, rows: Sequence[Row]) -> None:
        """Batch events that no service acts on, unless an urgent event of the same entity would have to wait too."""
        hurried = frozenset().union(*(row.entities for row in rows if row.event_type not in FOR_PEOPLE))
        for row in rows:
            kind = row.event_type
            if kind in FOR_PEOPLE and kind not in self._busy and row.entities.isdisjoint(hurried):
                self._busy.add(kind)
                asyncio.get_running_loop().call_later(NO_HURRY, self._release, kind)

    def _dispatch(self) -> None:
        if self._pending and not self._behind:
            messages, waiting = compose(self._pending, busy=self._busy, limit=self.sender.limit)
            if messages:
                self._pending = deque(waiting)
                self._pending_bytes = sum(len(row.payload) for row in waiting)
                self._send_all(messages)
        self._signal()

    def _send_all(self, messages: Sequence[Message]) -> None:
        # Sent in contexts of their own: messages do not belong to the request that happened to feed the relay.
        for message in messages:
            stored = self.sender.begin(message)
            self._busy.add(message.event_type)
            self._in_flight.update(row.id for row in message.rows)
            task = asyncio.create_task(self._send(message, stored), context=Context())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, message: Message, stored: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        acknowledged = False
        try:
            acknowledged = await self.sender.finish(message, stored)
        except BusUnavailable as error:
            self._fall_behind(str(error))
        finally:
            self._in_flight.difference_update(row.id for row in message.rows)
            if acknowledged:
                self._acknowledged.add(message.rows)
            # After more than one event others are likely to follow: let them gather. The first is never delayed.
            rest = self._linger - (loop.time() - begun) if message.events > QUIET and self._running else 0.0
            if rest > 0 and not self._behind:
                loop.call_later(rest, self._release, message.event_type)
            else:
                self._release(message.event_type)
            self._signal()

    def _release(self, event_type: str) -> None:
        self._busy.discard(event_type)
        self._dispatch()

    def _signal(self) -> None:
        for event, holds in (
            (self._landed, not self._in_flight),
            (self._idle, not self._in_flight and not self._pending),
        ):
            if holds:
                event.set()
            else:
                event.clear()

    # ---------------------------------------------------------------- behind: table → bus

    def _on_change(self, connected: bool) -> None:
        if not connected:
            self._fall_behind("the bus is away")
        self._changed.set()

    def _fall_behind(self, reason: str) -> None:
        """Make the table the queue: drop the rows that wait in memory, and read them back in the order of their ids."""
        self._missed = True
        self._pending.clear()
        self._pending_bytes = 0
        self._signal()
        if self._behind or not self._running:
            return
        self._behind = True
        _log.info("outbox.behind", reason=reason)
        self._recovery = asyncio.create_task(self._recover(), context=Context())

    async def _recover(self) -> None:
        pause = 0.05
        published = 0
        while True:
            self._changed.clear()
            await self._landed.wait()
            if not self._bus.connected:
                await self._changed.wait()
                continue
            self._missed = False
            try:
                await self._acknowledged.delete()
                published += await self._pages.publish_own()
            except Exception as error:  # noqa: BLE001  # giving up after any error would leave rows unpublished
                _log.warning("outbox.still_behind", error=str(error) or type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
                continue
            if not self._missed:
                break
        self._behind = False
        _log.info("outbox.caught_up", events=published)

    async def run_once(self) -> Counts:
        """Sweep: publish a page of rows that waited too long and that this process does not hold; measure the rest."""
        swept = 0
        if self._bus.connected and not self._behind:
            refused = self.sender.refused()
            hands = [*(row.id for row in self._pending), *self._in_flight, *self._acknowledged.ids, *refused]
            swept, more = await self._pages.publish_leftovers(except_rows=hands)
            if more:
                self.wake()
        await self._pages.measure()
        return {"swept": swept}
