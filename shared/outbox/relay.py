"""The relay: takes committed outbox rows to the bus and deletes them once they are acknowledged.

Fed from memory right after each commit; the table is read only to recover: when the bus was away, when memory ran
over its bound, when another process died. A row leaves the table only after its acknowledgement, so it may be
published twice (under the same message id where the same rows go together), never not at all. Of each event type
one message is in flight at a time; what waits meanwhile is merged into the next (`shared.outbox.messages`). Out of
the table several types go at the same time, as long as they speak of different entities.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
import structlog
from prometheus_client import Counter

from schemas.cloudevents import CloudEvent, decode_batch, encode_batch
from schemas.events import EventData
from schemas.subjects import FOR_PEOPLE, Catalogue
from shared.errors import BusUnavailable, MessageTooLarge
from shared.outbox.messages import HEAD_ROOM, MERGE_LIMIT, Message, Row, compose, flight
from shared.postgres import Database, Record, load_queries
from shared.service import Counts, Loop
from shared.telemetry import Metrics

SWEEP_INTERVAL: Final = 2.0
LEFTOVER_AGE: Final = 3.0
"""Seconds after which a row in nobody's hands is taken: together with the interval, within five."""

MAX_ROWS: Final = 4096
MAX_BYTES: Final = 32 << 20
PAGE_ROWS: Final = 500
PAGE_BYTES: Final = 8 << 20
DELETE_DELAY: Final = 0.2
DELETE_AT: Final = 500
STOP_PATIENCE: Final = 2.0
REFUSED_PAUSE: Final = 60.0
"""Seconds until the sweep tries again what the bus refused for its own sake (too large, say)."""

PAGE_DEADLINE: Final = 4.0
"""Seconds after which nothing more of a page is begun: the transaction that locks its rows ends when it lies idle for
10 s (`allow_idle_page`), and what is begun takes a publish's deadline at the most."""

COUNT_BOUND: Final = 10_000

QUIET: Final = 8
"""A message of so few events is no load: what follows it is not made to wait."""

NO_HURRY: Final = 0.025
"""Seconds that events which no service works on may gather before they go: fewer messages, and the others go first."""

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """What the relay needs of `shared.bus.Bus`."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def connected(self) -> bool: ...

    @property
    def max_payload(self) -> int: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...

    def publish(
        self, subject: str, payload: bytes, *, msg_id: str, headers: Mapping[str, str] | None = None
    ) -> Coroutine[Any, Any, None]: ...


class Relay(Loop):
    """Publishes one process's outbox. As a loop it sweeps: `run_once` publishes a page of what others left behind.

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
        self._database = database
        self._bus = bus
        self._id = relay_id
        self._source = source
        self._linger = linger
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._leftover_age = leftover_age
        self._page_deadline = page_deadline
        sql = load_queries("shared.outbox")
        self._delete_rows, self._measure = sql["delete_outbox"], sql["measure_outbox"]
        self._lock_own, self._lock_leftovers = sql["lock_outbox_of_relay"], sql["lock_outbox_leftovers"]
        self._allow_idle = sql["allow_idle_page"]
        self._pending: deque[Row] = deque()
        self._pending_bytes = 0
        self._busy: set[str] = set()
        self._in_flight: set[int] = set()
        self._acknowledged: list[int] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._deleting: asyncio.Task[None] | None = None
        self._delete_timer: asyncio.TimerHandle | None = None
        self._behind = False
        """True while the table, not the memory, is the queue."""
        self._missed = False
        """Rows were committed since recovery last began to read."""
        self._recovery: asyncio.Task[None] | None = None
        self._landed = asyncio.Event()
        """Nothing is in flight."""
        self._idle = asyncio.Event()
        """Nothing is in flight, and nothing waits in memory."""
        self._refused: set[int] = set()
        self._refused_until = 0.0
        self._changed = asyncio.Event()
        self._unlisten: Callable[[], None] = lambda: None
        self._running = False
        self.undeliverable: dict[str, Callable[[Sequence[Any]], Awaitable[None]]] = {}
        """By event type: what is done with events that are larger than the bus takes."""
        self._published = metrics.counter("outbox_published_total", "Events that the bus acknowledged.", ["type"])
        self._published_of: dict[str, Counter] = {}
        self._waiting = metrics.gauge("outbox_pending_rows", "Outbox rows not yet published, counted up to 10,000.")
        self._oldest = metrics.gauge("outbox_oldest_seconds", "Age of the oldest outbox row, in seconds.")

    @property
    def held(self) -> int:
        """How many rows are in memory."""
        return len(self._pending) + len(self._in_flight) + len(self._acknowledged)

    async def start(self) -> None:
        self._running = True
        self._signal()
        self._unlisten = self._bus.on_change(self._on_change)
        await super().start()

    async def stop(self) -> None:
        """Publish what is in memory, within two seconds; the rest stays in the table for the next process."""
        self._running = False
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
        """Take rows that have just been committed. Never waits; over its bound it leaves them to recovery."""
        if not self._running:
            return  # the table has them, and whoever runs next
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
        """Delete what is acknowledged, now."""
        if self._delete_timer is not None:
            self._delete_timer.cancel()
            self._delete_timer = None
        if self._deleting is not None:
            await asyncio.wait({self._deleting})
        await self._delete()

    # ---------------------------------------------------------------- live: memory → bus

    def _hold(self, rows: Sequence[Row]) -> None:
        """Let what is in no hurry gather, unless something that is in a hurry may not overtake it."""
        hurried = frozenset().union(*(row.entities for row in rows if row.event_type not in FOR_PEOPLE))
        for row in rows:
            kind = row.event_type
            if kind in FOR_PEOPLE and kind not in self._busy and row.entities.isdisjoint(hurried):
                self._busy.add(kind)
                asyncio.get_running_loop().call_later(NO_HURRY, self._release, kind)

    def _dispatch(self) -> None:
        if self._pending and not self._behind:
            messages, waiting = compose(self._pending, busy=self._busy, limit=self._limit())
            if messages:
                self._pending = deque(waiting)
                self._pending_bytes = sum(len(row.payload) for row in waiting)
                self._send_all(messages)
        self._signal()

    def _send_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            stored = self._begin(message)
            self._busy.add(message.event_type)
            self._in_flight.update(row.id for row in message.rows)
            task = asyncio.create_task(self._send(message, stored))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, message: Message, stored: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        acknowledged = False
        try:
            acknowledged = await self._publish(message, stored)
        except BusUnavailable as error:
            self._fall_behind(str(error))
        finally:
            self._in_flight.difference_update(row.id for row in message.rows)
            if acknowledged:
                self._acknowledged.extend(row.id for row in message.rows)
                self._delete_soon()
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

    def _begin(self, message: Message) -> Coroutine[Any, Any, None]:
        """Put it on the wire, now, and give what is to be awaited until it is stored."""
        return self._bus.publish(
            self._bus.catalogue.event(message.event_type),
            message.payload,
            msg_id=message.msg_id(self._source),
            headers={"traceparent": message.traceparent} if message.traceparent else None,
        )

    async def _publish(self, message: Message, stored: Coroutine[Any, Any, None]) -> bool:
        """Raises BusUnavailable; False for a message that the bus refuses for its own sake (it stays in the table)."""
        try:
            await self._store(message, stored)
        except BusUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # one message that cannot be sent must not hold up the others
            rows = [row.id for row in message.rows]
            self._refused.update(rows)
            self._refused_until = asyncio.get_running_loop().time() + REFUSED_PAUSE
            _log.error("outbox.refused", event_type=message.event_type, row_ids=rows, error=str(error))
            return False
        counter = self._published_of.get(message.event_type)
        if counter is None:
            counter = self._published_of[message.event_type] = self._published.labels(message.event_type)
        counter.inc(message.events)
        return True

    async def _store(self, message: Message, stored: Coroutine[Any, Any, None]) -> None:
        """Wait until it is stored; of one that is too large, until each of its events is, or is dealt with."""
        try:
            await stored
        except MessageTooLarge as error:
            too_large = await self._store_apart(message)
            if not too_large:
                return
            handler = self.undeliverable.get(message.event_type)
            if handler is None:
                raise
            ids = [event.subject for event in too_large]
            _log.error("outbox.undeliverable", event_type=message.event_type, entity_ids=ids, error=str(error))
            await handler([event.data for event in too_large])

    async def _store_apart(self, message: Message) -> list[CloudEvent[EventData]]:
        """Publish the events of a message one by one; those that are too large by themselves are returned."""
        too_large: list[CloudEvent[EventData]] = []
        for number, event in enumerate(decode_batch(message.event_type, message.payload)):
            try:
                await self._bus.publish(
                    self._bus.catalogue.event(message.event_type),
                    encode_batch([event]),
                    msg_id=f"{message.msg_id(self._source)}-{number}",
                    headers={"traceparent": event.traceparent} if event.traceparent else None,
                )
            except MessageTooLarge:
                too_large.append(event)
        return too_large

    def _limit(self) -> int:
        """Bytes up to which rows are merged into a message."""
        return min(MERGE_LIMIT, self._bus.max_payload - HEAD_ROOM)

    # ---------------------------------------------------------------- acknowledged: delete in batches

    def _delete_soon(self) -> None:
        if len(self._acknowledged) >= DELETE_AT:
            self._delete_now()
        elif self._delete_timer is None:
            self._delete_timer = asyncio.get_running_loop().call_later(DELETE_DELAY, self._delete_now)

    def _delete_now(self) -> None:
        if self._delete_timer is not None:
            self._delete_timer.cancel()
            self._delete_timer = None
        if self._deleting is None or self._deleting.done():
            self._deleting = asyncio.create_task(self._delete())

    async def _delete(self) -> None:
        ids = tuple(self._acknowledged)
        if not ids:
            return
        try:
            await self._database.execute(self._delete_rows, ids)
        except Exception as error:  # noqa: BLE001  # they are tried again with the next ones
            _log.warning("outbox.not_deleted", rows=len(ids), error=str(error))
        else:
            gone = set(ids)
            self._acknowledged = [id for id in self._acknowledged if id not in gone]
        if self._acknowledged and self._running and self._delete_timer is None:
            self._delete_timer = asyncio.get_running_loop().call_later(DELETE_DELAY, self._delete_now)

    # ---------------------------------------------------------------- behind: table → bus

    def _on_change(self, connected: bool) -> None:
        if not connected:
            self._fall_behind("the bus is away")
        self._changed.set()

    def _fall_behind(self, reason: str) -> None:
        """From now on the table is the queue: forget what waits in memory, and read it back in the order of ids."""
        self._missed = True
        self._pending.clear()
        self._pending_bytes = 0
        self._signal()
        if self._behind or not self._running:
            return
        self._behind = True
        _log.info("outbox.behind", reason=reason)
        self._recovery = asyncio.create_task(self._recover())

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
                await self._delete()
                published += await self._publish_table()
            except Exception as error:  # noqa: BLE001  # whatever it is, giving up would leave the rows where they are
                _log.warning("outbox.still_behind", error=str(error) or type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
                continue
            if not self._missed:
                break
        self._behind = False
        _log.info("outbox.caught_up", events=published)

    async def _publish_table(self) -> int:
        """Publish this relay's rows and old ones of others, page by page; how many events that was."""
        published, after = 0, 0
        while True:
            count, last = await self._publish_page(
                self._lock_own, after, self._id, self._leftover_age, PAGE_ROWS, PAGE_BYTES
            )
            published += count
            if last is None:
                return published
            after = last

    async def run_once(self) -> Counts:
        """Sweep: publish a page of rows that waited too long and are not ours to hand; measure what waits."""
        swept = 0
        if self._bus.connected and not self._behind:
            if asyncio.get_running_loop().time() >= self._refused_until:
                self._refused.clear()
            hands = [*(row.id for row in self._pending), *self._in_flight, *self._acknowledged, *self._refused]
            swept, last = await self._publish_page(
                self._lock_leftovers, self._leftover_age, hands, PAGE_ROWS, PAGE_BYTES
            )
            if last is not None and swept:
                self.wake()  # there may be another page
        row = await self._database.fetch_one(self._measure, COUNT_BOUND)
        pending = int(row["pending"]) if row is not None else 0
        self._waiting.set(pending)
        self._oldest.set(row["oldest"] if row is not None else 0.0)
        return {"swept": swept}

    async def _publish_page(self, query: str, *args: object) -> tuple[int, int | None]:
        """Lock, publish and delete a page of rows: how many events went out, and the last row's id if there was one.

        Rows that another relay is at are skipped. What was acknowledged before a failure is deleted all the same, and
        so is what was acknowledged by the deadline: the last row is then that before the first that was left.
        """
        clock = asyncio.get_running_loop().time
        failure: BusUnavailable | None = None
        published = 0
        async with self._database.transaction() as transaction:
            await transaction.fetch_value(self._allow_idle)
            rows = [_row(record) for record in await transaction.fetch(query, *args)]
            until = clock() + self._page_deadline
            waiting = rows
            done: list[int] = []
            while waiting and failure is None and (waiting is rows or clock() < until):
                messages, waiting = flight(waiting, limit=self._limit())
                begun = [self._publish(message, self._begin(message)) for message in messages]
                for message, outcome in zip(
                    messages, await asyncio.gather(*begun, return_exceptions=True), strict=True
                ):
                    if isinstance(outcome, BusUnavailable):
                        failure = outcome
                    elif isinstance(outcome, BaseException):
                        raise outcome
                    elif outcome:
                        published += message.events
                        done.extend(row.id for row in message.rows)
            if done:
                await transaction.execute(self._delete_rows, done)
        if failure is not None:
            raise failure
        if waiting:
            return published, waiting[0].id - 1
        return published, rows[-1].id if rows else None


def _row(record: Record) -> Row:
    return Row(
        id=record["id"],
        relay=record["relay"],
        event_type=record["event_type"],
        events=record["events"],
        entities=_entities(orjson.loads(record["payload"])),
        traceparent=record["traceparent"],
        payload=record["payload"],
    )


def _entities(batch: Iterable[Mapping[str, object]]) -> frozenset[str]:
    return frozenset(str(event["subject"]) for event in batch)
