"""What the worker manager does with the bus: hands orders and stops to agents, and records what they report.

Decode, call, acknowledge: the rules are in `domain/`, the SQL in `store`. Both handlers take `tasks.scheduled`, the one
to hand it over at once, the other to write it down when there is time. Both may be given an event again at any time.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog

from schemas.cloudevents import CloudEvent
from schemas.events import EventData, ExecutionRequested
from schemas.states import ExecutionStatus, Reason
from shared.bus import Bus
from shared.clock import now
from shared.errors import MessageTooLarge
from shared.outbox import Outbox
from shared.postgres import Database, retry_deadlock
from shared.telemetry import SpanKind, Tracing
from worker_manager.counters import Counters
from worker_manager.domain import handover
from worker_manager.domain.reports import Folded, Settled, fold
from worker_manager.store import ExecutionStore

Event = CloudEvent[EventData]

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Handler of `worker-manager-dispatch`. On the critical path of every job: it hands orders over and no more. One
    that its worker never hears is sent again from the record; an agent ignores what it has seen.
    """

    def __init__(self, bus: Bus, outbox: Outbox, counters: Counters, tracing: Tracing) -> None:
        self._bus = bus
        self._outbox = outbox
        self._counters = counters
        self._tracing = tracing

    async def handle(self, events: Sequence[Event]) -> None:
        received = now()
        orders = handover.orders(events)
        # Orders before stops: a stop can only follow its order, here as in the stream.
        if orders:
            await self.send([(order.worker_id, order.incarnation, order.assignment) for order in orders])
            if self._tracing.enabled:
                self._trace(orders, received)
        for stop in handover.stops(events):
            await self._bus.send(self._bus.catalogue.agent(stop.worker_id, "stop"), stop.payload)

    async def send(self, orders: Sequence[tuple[str, str, bytes]]) -> None:
        """Hand (worker, incarnation, assignment) over. Raises BusUnavailable while disconnected.

        An order that is larger than the server takes has failed, for it would never come to its worker.
        """
        for message in handover.dispatches(orders):
            try:
                await self._bus.send(self._bus.catalogue.agent(message.worker_id, "run"), message.payload)
            except MessageTooLarge as error:
                outcomes = handover.undeliverable(message, now())
                _log.error(
                    "dispatch.undeliverable", execution_ids=[one.execution_id for one in outcomes], error=str(error)
                )
                async with self._outbox.transaction() as tx:
                    tx.emit(*outcomes)
                continue
            self._counters.dispatches.inc()
            self._counters.dispatched.inc(message.count)

    def _trace(self, orders: Sequence[handover.Order], received: datetime) -> None:
        """Write a span for each order whose trace is recorded: it is on its way."""
        sent = now()
        for order in orders:
            if self._tracing.records(order.traceparent):
                self._tracing.record(
                    "hand over",
                    parent=order.traceparent,
                    start=received,
                    end=sent,
                    kind=SpanKind.CONSUMER,
                    attributes={
                        "hodei.job_id": order.job_id,
                        "hodei.task_id": order.task_id,
                        "hodei.execution_id": order.execution_id,
                        "hodei.worker_id": order.worker_id,
                        "hodei.attempt": order.attempt,
                    },
                )


class Recorder:
    """Handler of `worker-manager-executions`: what was ordered and what came of it. No job waits for this, so that
    short executions are written once, with their outcome.
    """

    def __init__(self, database: Database, store: ExecutionStore, counters: Counters) -> None:
        self._database = database
        self._store = store
        self._counters = counters

    async def handle(self, events: Sequence[Event]) -> None:
        folded = fold(events)
        orders = handover.orders(events, but={report.execution_id for report in folded.reports})
        # Another replica may be writing the same rows, the ones that are orders here as reports there.
        changed, closed = await retry_deadlock(lambda: self._write(folded, orders))
        self._counters.stale.inc(len(folded.reports) - len(changed))
        self._counters.came_to(changed)
        self._counters.came_to((status, None) for status in closed)

    async def _write(
        self, folded: Folded, orders: Sequence[handover.Order]
    ) -> tuple[list[tuple[str, float | None]], list[str]]:
        """In one transaction; the statuses that rows newly came to: with how long they ran, and of those unplaced."""
        if folded.reports and not (orders or folded.unplaced or folded.settled):
            return await self._store.record_reports(self._database, folded.reports), []
        changed: list[tuple[str, float | None]] = []
        closed: list[str] = []
        async with self._database.transaction() as tx:
            if orders:
                await self._store.record_orders(tx, orders)
            if folded.reports:
                changed = await self._store.record_reports(tx, folded.reports)
            if folded.unplaced:
                closed += await self._store.close_unplaced(tx, folded.unplaced)
            if folded.settled:
                closed += await self._store.close_settled(tx, folded.settled)
        return changed, closed


class UndeliverableRequests:
    """Handler of `executions.requested` that are larger than the bus takes: the execution has failed."""

    def __init__(self, database: Database, store: ExecutionStore) -> None:
        self._database = database
        self._store = store

    async def handle(self, requests: Sequence[ExecutionRequested]) -> None:
        """Close their executions as failed."""
        moment = now()
        await self._store.close_settled(
            self._database,
            [
                Settled(one.execution_id, ExecutionStatus.FAILED, moment, Reason.TOO_LARGE, handover.TOO_LARGE)
                for one in requests
            ],
        )
