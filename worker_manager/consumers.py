"""What the worker manager does with the bus: hands orders and stops to agents, and records what they report.

Decode, call, acknowledge: the rules are in `domain/`, the SQL in `store`. Both handlers may be given an event again
at any time, and reports may come before the record of the order that they answer.
"""

from collections.abc import Sequence

from schemas.cloudevents import CloudEvent
from schemas.events import EventData
from shared.bus import Bus
from shared.database import Database
from worker_manager.counters import Counters
from worker_manager.domain import handover
from worker_manager.domain.reports import fold
from worker_manager.store import ExecutionStore

Event = CloudEvent[EventData]


class Dispatcher:
    """Handler of `worker-manager-dispatch`. On the critical path of every job: an order goes out before anything
    else is done, and is recorded afterwards. Lost in between, it comes again from the stream, and an agent ignores
    what it has seen.
    """

    def __init__(self, bus: Bus, store: ExecutionStore, counters: Counters) -> None:
        self._bus = bus
        self._store = store
        self._counters = counters

    async def handle(self, events: Sequence[Event]) -> None:
        orders = handover.orders(events)
        # Orders before stops: a stop can only follow its order, here as in the stream.
        if orders:
            await self.send([(order.worker_id, order.incarnation, order.assignment) for order in orders])
        for stop in handover.stops(events):
            await self._bus.send(self._bus.catalogue.agent(stop.worker_id, "stop"), stop.payload)
        if orders:
            await self._store.record_dispatched(orders)

    async def send(self, orders: Sequence[tuple[str, str, bytes]]) -> None:
        """Hand (worker, incarnation, assignment) over. Raises BusUnavailable while disconnected."""
        for message in handover.dispatches(orders):
            await self._bus.send(self._bus.catalogue.agent(message.worker_id, "run"), message.payload)
            self._counters.dispatches.inc()
            self._counters.dispatched.inc(message.count)


class Recorder:
    """Handler of `worker-manager-executions`. Its commits wait for the disk, unlike the dispatcher's: once
    acknowledged, an outcome does not come again, and nothing here is waited for by a job.
    """

    def __init__(self, database: Database, store: ExecutionStore, counters: Counters) -> None:
        self._database = database
        self._store = store
        self._counters = counters

    async def handle(self, events: Sequence[Event]) -> None:
        folded = fold(events)
        changed: list[str] = []
        async with self._database.transaction() as tx:
            if folded.reports:
                changed += await self._store.record_reports(tx, folded.reports)
                stale = len(folded.reports) - len(changed)
            else:
                stale = 0
            if folded.unplaced:
                changed += await self._store.close_unplaced(tx, folded.unplaced)
            if folded.refused:
                changed += await self._store.close_refused(tx, folded.refused)
        self._counters.stale.inc(stale)
        for status in changed:
            self._counters.executions.labels(status).inc()
