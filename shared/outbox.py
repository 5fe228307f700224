"""The transactional outbox: a state change and the events it causes are written in one transaction.

Events go into the service's own `outbox` table with everything else, and from there to the bus: while NATS is away
work is still taken, and nothing that was accepted is lost. How rows travel is `shared.outbox_relay`'s business.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from schemas.cloudevents import CloudEvent, encode_batch, wrap
from schemas.events import EventData
from shared import queries
from shared.clock import now
from shared.database import Connection, Database, Transaction
from shared.ids import new_id
from shared.metrics import Metrics
from shared.outbox_messages import MERGE_LIMIT, Row
from shared.outbox_relay import MAX_ROWS, Publisher, Relay
from shared.tracing import common, inject

_log = structlog.get_logger(__name__)


class OutboxTransaction(Transaction):
    """A transaction that carries events: they are written when it ends, and published once it is committed."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.emitted: list[EventData] = []
        self.traced: dict[int, str] = {}
        """The traces of events that have one of their own, by the identity of the event in `emitted`."""
        self.committed: list[Callable[[], None]] = []

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
        self._id = new_id()
        self._source = f"/hodei/{source}"
        self._insert = queries.load("shared")["insert_outbox"]
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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OutboxTransaction]:
        """A transaction whose `emit` works. Its events are handed over as soon as it is committed.

        Events of one transaction go out in the order in which they were emitted, type by type.
        """
        rows: list[Row] = []
        async with self.database.transaction_as(OutboxTransaction) as transaction:
            yield transaction
            if transaction.emitted:
                rows = await self._write(transaction)
        if rows:
            self.relay.feed(rows)
        for deed in transaction.committed:
            try:
                deed()
            except Exception:  # noqa: BLE001  # what is committed has happened, whatever else fails
                _log.exception("outbox.after_commit_failed")

    async def _write(self, transaction: OutboxTransaction) -> list[Row]:
        moment, ambient, traced = now(), inject(), transaction.traced
        by_type: dict[str, list[CloudEvent[EventData]]] = {}
        for data in transaction.emitted:
            traceparent = traced.get(id(data), ambient) if traced else ambient
            event = wrap(data, id=new_id(), source=self._source, time=moment, traceparent=traceparent)
            by_type.setdefault(data.event_type, []).append(event)
        batches = [batch for events in by_type.values() for batch in _split(events)]
        traces = [common([event.traceparent for event in events]) if traced else ambient for events, _ in batches]
        records = await transaction.fetch(
            self._insert,
            self._id,
            [events[0].data.event_type for events, _ in batches],
            [len(events) for events, _ in batches],
            traces,
            [payload for _, payload in batches],
        )
        return [
            Row(
                id=record["id"],
                relay=self._id,
                event_type=events[0].data.event_type,
                events=len(events),
                entities=frozenset(event.subject for event in events),
                traceparent=trace,
                payload=payload,
            )
            for record, (events, payload), trace in zip(records, batches, traces, strict=True)
        ]


def _split(events: Sequence[CloudEvent[EventData]]) -> list[tuple[Sequence[CloudEvent[EventData]], bytes]]:
    """Encode events of one type as batches that each fit a message; a single event stays whole, whatever its size."""
    payload = encode_batch(events)
    if len(payload) <= MERGE_LIMIT or len(events) == 1:
        return [(events, payload)]
    half = len(events) // 2
    return [*_split(events[:half]), *_split(events[half:])]
