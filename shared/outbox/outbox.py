"""The transactional outbox: a state change and the events it causes are written in one transaction.

Events are inserted into the service's own `outbox` table and published from there. While NATS is unavailable requests
are still accepted, and no accepted request is lost. `shared.outbox.relay` publishes the rows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Final, TypeVar, cast, overload

import structlog

from schemas.cloudevents import CloudEvent, encode_batches, travelling_bytes, wrap
from schemas.events import EventData
from shared.clock import now
from shared.errors import FieldError, Invalid
from shared.ids import new_id
from shared.outbox.messages import HEAD_ROOM, MERGE_LIMIT, Row
from shared.outbox.relay import MAX_ROWS, Relay
from shared.outbox.sending import Publisher, Undeliverable
from shared.postgres import Block, Call, Connection, Database, Transaction, joined, load_queries
from shared.telemetry import Metrics, common, inject

_log = structlog.get_logger(__name__)


class OutboxTransaction(Transaction):
    """A transaction with events: they are inserted at its end, and published once it is committed."""

    def __init__(self, connection: Connection, block: Block) -> None:
        super().__init__(connection, block)
        self.emitted: list[EventData] = []
        self.traced: dict[int, str] = {}
        """The trace contexts given for single events, by the `id()` of the event in `emitted`."""
        self.committed: list[Callable[[], None]] = []
        self.closing: list[Call] = []
        self.entities: list[str] = []
        """The ids of what is changed without an event, for the audit log."""
        self.is_change = self.is_failure = False
        self.audit_entry: str | None = None
        """The entry of the call in the audit log, as JSON. It is stored with the events, of which there must be one."""

    def close_with(self, query: str, *args: object) -> None:
        """Run a query at the end of the transaction, in one statement with the other closing queries and the insert of
        the events. `shared.postgres.statements` describes its form. Its rows are not returned.

        A transaction that runs nothing else needs no BEGIN and no COMMIT.
        """
        self.closing.append(Call(query, args))

    def emit(self, *events: EventData, traceparent: str | None = None) -> None:
        """Publish events once the transaction is committed; a rollback drops them.

        They carry the trace context `traceparent`, or else the current one.
        """
        self.emitted.extend(events)
        if traceparent is not None:
            self.traced.update((id(event), traceparent) for event in events)

    def on_commit(self, deed: Callable[[], None]) -> None:
        """Call `deed` once the transaction is committed: to write a span, for example."""
        self.committed.append(deed)

    def changes(self, *entities: str) -> None:
        """Note, for the audit log, that this transaction changes these entities, where no event of it says so."""
        self.is_change = True
        self.entities.extend(entities)

    def fails(self, *entities: str) -> None:
        """Note, for the audit log, that the request fails although an earlier transaction of it has changed these
        entities: this one takes the change back, or the change may be incomplete."""
        self.is_failure = True
        self.entities.extend(entities)


_Tx = TypeVar("_Tx", bound=OutboxTransaction)
_Event = TypeVar("_Event", bound=EventData)


class Outbox:
    """The outbox of one process. It starts after the database and the bus, and before the parts that emit events.

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
        self._before_close: list[Callable[[OutboxTransaction], None]] = []
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
        """Begin to publish, including rows that earlier processes left."""
        await self.relay.start()

    async def stop(self) -> None:
        """Publish committed events for up to two seconds; the rest stays in the table."""
        await self.relay.stop()

    def largest_event(self) -> int:
        """The largest event that the bus takes, in bytes, envelope included."""
        return self._bus.max_payload - HEAD_ROOM

    def must_fit(self, event: EventData, *loc: str) -> None:
        """Raises Invalid, with the field at `loc`, when a request's event is too large for the bus."""
        if (size := travelling_bytes(event)) > (limit := self.largest_event()):
            says = (
                f"the request is {size:,} bytes as an event; the NATS server accepts messages of at most "
                f"{limit:,} bytes (its max_payload, minus room for headers)"
            )
            raise Invalid([FieldError(loc, says, "too_large")])

    def when_undeliverable(self, kind: type[_Event], handler: Callable[[Sequence[_Event]], Awaitable[None]]) -> None:
        """Call `handler` with committed events that are too large for the bus, as after the server's limit was lowered.
        It may be called again with the same events. Without a handler they stay in the table, and are tried again each
        minute.
        """
        # The sender looks the handler up by the events' type, so that it is given events of `kind` only.
        self.relay.sender.undeliverable[kind.event_type] = cast("Undeliverable", handler)

    def before_close(self, deed: Callable[[OutboxTransaction], None]) -> None:
        """Call `deed` with each transaction before its last statement, to which it may add queries (`close_with`)."""
        self._before_close.append(deed)

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
            for deed in self._before_close:
                deed(transaction)
            rows = await self._close(transaction)
        if rows:
            self.relay.feed(rows)
        for committed in transaction.committed:
            try:
                committed()
            except Exception:  # noqa: BLE001  # the transaction is committed, so its caller must not see this error
                _log.exception("outbox.after_commit_failed")
        if rows:
            # The messages leave at the end of this turn of the event loop, and other services wait for them.
            await asyncio.sleep(0)

    async def _close(self, transaction: OutboxTransaction) -> list[Row]:
        """Run the closing queries and insert the events in one statement. Returns the inserted rows."""
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
                transaction.audit_entry,
            ),
        )
        query, arguments = joined([*transaction.closing, *([events] if rows else [])])
        record = await transaction.fetch_last(query, *arguments)
        assert record is not None  # a select without FROM gives one row
        return [replace(row, id=id) for row, id in zip(rows, record["outbox_ids"], strict=True)] if rows else []

    def _rows(self, transaction: OutboxTransaction) -> list[Row]:
        """The events as rows without ids, in the order in which they are inserted."""
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
