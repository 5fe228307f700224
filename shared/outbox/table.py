"""The outbox table: publishing rows page by page, deleting acknowledged rows, and the metrics of waiting rows."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
import structlog

from shared.errors import BusUnavailable
from shared.outbox.messages import Row, flight
from shared.outbox.sending import Sender
from shared.postgres import Database, Record, load_queries, with_values
from shared.telemetry import Metrics

PAGE_ROWS: Final = 500
PAGE_BYTES: Final = 8 << 20
PAGE_DEADLINE: Final = 4.0
"""Seconds after which no further message of a page is begun: the transaction that locks its rows may be idle for 10 s
(`allow_idle_page`), and a message that was begun takes no longer than the deadline of a publish."""
EMPTY_BYTES: Final = 8 << 20
"""Size from which an empty outbox gives its space back. Under load it stays below: its rows live for milliseconds, and
autovacuum frees the space of some thousand at a time."""
COUNT_BOUND: Final = 10_000
"""Most waiting rows that are counted for the metric."""
DELETE_DELAY: Final = 0.2
DELETE_AT: Final = 500

_log = structlog.get_logger(__name__)


class Pages:
    """Publishes rows of the table, page by page, each page locked. Messages about different entities are sent
    concurrently. `relay_id` identifies this process's rows; `leftover_age` is the age in seconds from which it also
    publishes rows of other processes.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        *,
        relay_id: str,
        leftover_age: float,
        deadline: float,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._sender = sender
        self._id = relay_id
        self._leftover_age = leftover_age
        self._deadline = deadline
        sql = load_queries("shared.outbox")
        self._delete_rows, self._measure = sql["delete_outbox"], sql["measure_outbox"]
        self._give_back = sql["give_outbox_back"]
        self._lock_page, self._allow_idle = sql["lock_outbox_page"], sql["allow_idle_page"]
        self._waiting = metrics.gauge("outbox_pending_rows", "Outbox rows not yet published, counted up to 10,000.")
        self._oldest = metrics.gauge("outbox_oldest_seconds", "Age of the oldest outbox row, in seconds.")

    async def publish_own(self) -> int:
        """Publish all rows of this process, and old rows of others. Returns the number of events published."""
        published, after = 0, 0
        while True:
            count, last = await self._publish(after=after, relay=self._id)
            published += count
            if last is None:
                return published
            after = last

    async def publish_leftovers(self, *, except_rows: Sequence[int]) -> tuple[int, bool]:
        """Publish a page of rows that have waited too long. Returns the number of events published, and whether there
        may be another page.
        """
        count, last = await self._publish(in_hand=except_rows)
        return count, last is not None and count > 0

    async def measure(self) -> None:
        """Set the metrics of waiting rows. If there are none, give back the space of a queue that was once long."""
        row = await self._database.fetch_one(self._measure, COUNT_BOUND)
        pending = int(row["pending"]) if row is not None else 0
        self._waiting.set(pending)
        self._oldest.set(row["oldest"] if row is not None else 0.0)
        if not pending and await self._database.fetch_value(self._give_back, EMPTY_BYTES):
            _log.info("outbox.space_given_back")

    async def _publish(
        self, *, after: int = 0, relay: str | None = None, in_hand: Sequence[int] = ()
    ) -> tuple[int, int | None]:
        """Lock, publish and delete a page of rows: those of `relay`, and those of others that have waited too long.
        Returns the number of events published, and the last row's id, None if there was no row.

        Rows that another relay has locked are skipped. Rows acknowledged before a failure or the deadline are deleted
        in any case. After the deadline, the returned id is the one before the first unpublished row.
        """
        query, arguments = with_values(
            self._lock_page,
            after=after,
            relay=relay,
            leftover_age=self._leftover_age,
            in_hand=in_hand,
            rows=PAGE_ROWS,
            bytes=PAGE_BYTES,
        )
        clock = asyncio.get_running_loop().time
        failure: BusUnavailable | None = None
        published = 0
        async with self._database.transaction() as transaction:
            await transaction.fetch_value(self._allow_idle)
            rows = [_row(record) for record in await transaction.fetch(query, *arguments)]
            until = clock() + self._deadline
            waiting = rows
            done: list[int] = []
            while waiting and failure is None and (waiting is rows or clock() < until):
                messages, waiting = flight(waiting, limit=self._sender.limit)
                begun = [self._sender.finish(message, self._sender.begin(message)) for message in messages]
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


class Acknowledged:
    """Rows that the bus has acknowledged: deleted in batches, soon after. `running` is False while the process stops:
    rows that could not be deleted are then left to the next process.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._delete_rows = load_queries("shared.outbox")["delete_outbox"]
        self.ids: list[int] = []
        self.running = False
        self._deleting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, rows: Iterable[Row]) -> None:
        """Delete these rows soon, or at once if there are many."""
        self.ids.extend(row.id for row in rows)
        if len(self.ids) >= DELETE_AT:
            self._delete_now()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELETE_DELAY, self._delete_now)

    async def flush(self) -> None:
        """Delete all added rows now, and wait for that."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deleting is not None:
            await asyncio.wait({self._deleting})
        await self.delete()

    async def delete(self) -> None:
        """Delete all added rows. After an error they are tried again with the next ones."""
        ids = tuple(self.ids)
        if not ids:
            return
        try:
            await self._database.execute(self._delete_rows, ids)
        except Exception as error:  # noqa: BLE001  # the rows are tried again with the next ones
            _log.warning("outbox.not_deleted", rows=len(ids), error=str(error))
        else:
            gone = set(ids)
            self.ids = [id for id in self.ids if id not in gone]
        if self.ids and self.running and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELETE_DELAY, self._delete_now)

    def _delete_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deleting is None or self._deleting.done():
            self._deleting = asyncio.create_task(self.delete())


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
