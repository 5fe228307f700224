"""The handlers of events: one sends orders and stops to agents, one records what the agents report.

Here: decode, call, acknowledge. Not here: rules (`domain/`) and SQL (`store`). Both handlers take `tasks.scheduled`:
one sends it to its agent at once, the other records it when there is time. Both may get an event again at any time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from schemas.cloudevents import CloudEvent
from schemas.events import EventData, ExecutionFinished, ExecutionRequested, ExecutionReturned, ExecutionStarted
from schemas.states import ExecutionStatus, Reason
from shared.bus import Bus, Foreign, ForeignKind
from shared.clock import now
from shared.errors import MessageTooLarge
from shared.held_reports import HeldReports
from shared.outbox import Outbox
from shared.postgres import Database, retry_deadlock
from shared.telemetry import SpanKind, Tracing
from worker_manager.counters import Counters
from worker_manager.domain import handover
from worker_manager.domain.reports import Folded, Report, Settled, fold
from worker_manager.store.executions import ExecutionStore, Recorded

Event = CloudEvent[EventData]

_REPORTS: Final = (ExecutionStarted, ExecutionFinished, ExecutionReturned)

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Handler of `worker-manager-dispatch`. It is on the critical path of every job, so it only sends orders. An order
    that does not reach its worker is sent again from the table (`redelivery`); an agent ignores an order that it has.
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
        """Send orders, as (worker, incarnation, assignment). Raises BusUnavailable while disconnected.

        The execution of an order that is larger than the NATS server accepts fails, because no worker can get it.
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
        """Write a span for each order whose trace is recorded."""
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
    """Handler of `worker-manager-executions`: records orders and their outcomes. No job waits for it, so that its
    batches are large and a short execution is written once, with its outcome.
    """

    def __init__(self, database: Database, store: ExecutionStore, counters: Counters, foreign: Foreign) -> None:
        self._database = database
        self._store = store
        self._counters = counters
        self._foreign = foreign
        self.held = HeldReports(self.handle, foreign)
        """The reports of agents that came before the placement of their execution."""

    async def handle(self, events: Sequence[Event]) -> None:
        """Record orders, and the reports on executions that are placed on the workers that report on them."""
        folded = fold(events)
        orders = handover.orders(events, but={report.execution_id for report in folded.reports})
        # Another replica may write the same rows at the same time, one from orders and the other from reports.
        changed, closed = await retry_deadlock(lambda: self._write(folded, orders))
        unchanged = len(folded.reports) - len(changed)
        if unchanged:
            unchanged -= await self._set_aside(events, folded.reports, changed)
        self._counters.stale.inc(unchanged)
        self._counters.came_to((one.status, one.seconds) for one in changed)
        self._counters.came_to((status, None) for status in closed)
        self._count_foreign(folded.foreign)

    async def _set_aside(self, events: Sequence[Event], reports: Sequence[Report], changed: Sequence[Recorded]) -> int:
        """Count the reports on executions that are placed on other workers, and hold those on executions that are not
        placed. Returns how many these are; the others came too late."""
        recorded = {(one.execution_id, one.worker_id) for one in changed}
        doubtful = [one for one in reports if not one.placed and (one.execution_id, one.worker_id) not in recorded]
        if not doubtful:
            return 0
        workers = await self._store.workers_of({one.execution_id for one in doubtful})
        early = {(one.execution_id, one.worker_id) for one in doubtful if workers.get(one.execution_id) is None}
        if early:
            self.held.hold(
                event
                for event in events
                if isinstance(event.data, _REPORTS) and (event.data.execution_id, event.data.worker_id) in early
            )
        foreign = [one for one in doubtful if workers.get(one.execution_id) not in (None, one.worker_id)]
        self._count_foreign(foreign)
        return len(early) + len(foreign)

    def _count_foreign(self, reports: Sequence[Report]) -> None:
        for one in reports:
            self._foreign.count(ForeignKind.REPORT, one.worker_id, ids=[one.execution_id])

    async def _write(self, folded: Folded, orders: Sequence[handover.Order]) -> tuple[list[Recorded], list[str]]:
        """Write all in one transaction. Returns what the reports changed, and the statuses of requests that were closed
        without a worker."""
        if folded.reports and not (orders or folded.unplaced or folded.settled):
            return await self._store.record_reports(self._database, folded.reports), []
        changed: list[Recorded] = []
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
    """Handler of `executions.requested` that are larger than the NATS server accepts."""

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
