"""The transactional outbox: a state change and the events it causes are written in one transaction.

Events go into the service's own `outbox` table with everything else, and from there to the bus: while NATS is away
work is still taken, and nothing that was accepted is lost. How rows travel is `shared.outbox.relay`'s business.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Final, TypeVar, overload

import structlog

from schemas.cloudevents import CloudEvent, encode_batches, travelling_bytes, wrap
from schemas.events import EventData
from shared.clock import now
from shared.errors import FieldError, Invalid
from shared.ids import new_id
from shared.outbox.messages import HEAD_ROOM, MERGE_LIMIT, Row
from shared.outbox.relay import MAX_ROWS, Publisher, Relay
from shared.postgres import Block, Call, Connection, Database, Transaction, joined, load_queries
from shared.telemetry import Metrics, common, inject

_log = structlog.get_logger(__name__)


class OutboxTransaction(Transaction):
    """A transaction that carries events: they are written when it ends, and published once it is committed."""

    def __init__(self, connection: Connection, block: Block) -> None:
        super().__init__(connection, block)
        self.emitted: list[EventData] = []
        self.traced: dict[int, str] = {}
        """The traces of events that have one of their own, by the identity of the event in `emitted`."""
        self.committed: list[Callable[[], None]] = []
        self.closing: list[Call] = []

    def close_with(self, query: str, *args: object) -> None:
        """Have a query run when the transaction ends, as one statement with all others so given and with the writing
        of the events (`shared.postgres.statements` says which form it has). Its values are not to be had.

        Where nothing came before them, there is no BEGIN and no COMMIT either.
        """
        self.closing.append(Call(query, args))

    def emit(self, *events: EventData, traceparent: str | None = None) -> None:
        """Say what happened. Nothing is heard of it if the transaction is rolled back.

        The events belong to the trace that `traceparent` names, or else to the one we are in.
        """
        self.emitted.extend(events)
        if traceparent is not None:
            self.traced.update((id(event), traceparent) for event in events)

    def on_commit(self, deed: Callable[[], None]) -> None:
        """Have something done when the transaction is committed, and only then: a span to be written, say."""
        self.committed.append(deed)


_Tx = TypeVar("_Tx", bound=OutboxTransaction)
_Event = TypeVar("_Event", bound=EventData)


class Outbox:
    """A service's events: a service (start/stop) itself, after the database and the bus and before what uses it.

    `source` is the service's name (`orchestrator`); `linger` in seconds is how long the relay lets events gather
    after it sent more than one.
    """

    name: Final = "outbox"

    def __init__(
        self,
        database: Database,
        bus: Publisher,
        *,
        source: str,
        linger: float = 0.04,
        metrics: Metrics | None = None,
        max_rows: int = MAX_ROWS,
    ) -> None:
        self.database = database
        self._bus = bus
        self._id = new_id()
        self._source = f"/hodei/{source}"
        self._insert = load_queries("shared.outbox")["insert_outbox"]
        self.relay = Relay(
            database,
            bus,
            relay_id=self._id,
            source=source,
            linger=linger,
            metrics=metrics or Metrics(),
            max_rows=max_rows,
        )

    async def start(self) -> None:
        """Begin to publish, what earlier processes left behind included."""
        await self.relay.start()

    async def stop(self) -> None:
        """Publish what is committed, for a moment; what remains waits in the table."""
        await self.relay.stop()

    def largest_event(self) -> int:
        """How many bytes of one event the bus takes, envelope included."""
        return self._bus.max_payload - HEAD_ROOM

    def must_fit(self, event: EventData, *loc: str) -> None:
        """Raises Invalid, naming the field at `loc`, when the bus does not take an event that a request causes."""
        if (size := travelling_bytes(event)) > (limit := self.largest_event()):
            says = (
                f"the request takes {size:,} bytes as an event; the NATS server takes messages of at most {limit:,} "
                "(its max_payload, less what a message needs beside)"
            )
            raise Invalid([FieldError(loc, says, "too_large")])

    def when_undeliverable(self, kind: type[_Event], handler: Callable[[Sequence[_Event]], Awaitable[None]]) -> None:
        """Have `handler` called with events that were committed and turn out to be larger than the bus takes: somebody
        has lowered its limit since. It may be called again with the same ones. Without a handler they wait in the
        table, and are tried again each minute.
        """
        self.relay.undeliverable[kind.event_type] = handler

    @overload
    def transaction(self) -> AbstractAsyncContextManager[OutboxTransaction]: ...

    @overload
    def transaction(self, kind: type[_Tx]) -> AbstractAsyncContextManager[_Tx]: ...

    def transaction(
        self, kind: type[OutboxTransaction] = OutboxTransaction
    ) -> AbstractAsyncContextManager[OutboxTransaction]:
        """A transaction whose `emit` works. Its events are handed over as soon as it is committed.

        Events of one transaction go out in the order in which they were emitted, type by type.
        """
        return self._transaction(kind)

    @asynccontextmanager
    async def _transaction(self, kind: type[_Tx]) -> AsyncIterator[_Tx]:
        async with self.database.transaction_as(kind) as transaction:
            yield transaction
            rows = await self._close(transaction)
        if rows:
            self.relay.feed(rows)
        for deed in transaction.committed:
            try:
                deed()
            except Exception:  # noqa: BLE001  # what is committed has happened, whatever else fails
                _log.exception("outbox.after_commit_failed")
        if rows:
            # What was just published leaves when this turn of the loop ends: others wait for it, so let it end now.
            await asyncio.sleep(0)

    async def _close(self, transaction: OutboxTransaction) -> list[Row]:
        """Run the closing queries and write the events, as one statement; the rows that were written."""
        rows = self._rows(transaction)
        if not rows and not transaction.closing:
            return []
        events = Call(
            self._insert,
            (
                self._id,
                [row.event_type for row in rows],
                [row.events for row in rows],
                [row.traceparent for row in rows],
                [row.payload for row in rows],
            ),
        )
        query, arguments = joined([*transaction.closing, *([events] if rows else [])])
        record = await transaction.fetch_last(query, *arguments)
        assert record is not None  # a select without FROM gives one row
        return [replace(row, id=id) for row, id in zip(rows, record["outbox_ids"], strict=True)] if rows else []

    def _rows(self, transaction: OutboxTransaction) -> list[Row]:
        """The events as rows that have no id yet, in the order in which they are to be written."""
        moment, ambient, traced = now(), inject(), transaction.traced
        by_type: dict[str, list[CloudEvent[EventData]]] = {}
        for data in transaction.emitted:
            traceparent = traced.get(id(data), ambient) if traced else ambient
            event = wrap(data, id=new_id(), source=self._source, time=moment, traceparent=traceparent)
            by_type.setdefault(data.event_type, []).append(event)
        return [
            Row(
                id=0,
                relay=self._id,
                event_type=events[0].data.event_type,
                events=len(events),
                entities=frozenset(event.subject for event in events),
                traceparent=common([event.traceparent for event in events]) if traced else ambient,
                payload=payload,
            )
            for same in by_type.values()
            for events, payload in encode_batches(same, limit=min(MERGE_LIMIT, self.largest_event()))
        ]
