"""Sending orders again that were lost on their way to a worker.

Core NATS drops a message that has no subscriber, so an order counts as delivered only when the worker reports the start
or names the execution in a heartbeat. Heartbeats are collected for half a second and checked with one query, however
many workers there are; without heartbeats there is no query. An agent ignores an order that it has.

When the bus has just come back, orders are likely to be lost: they were sent before their worker had reconnected.
Agents then send heartbeats faster for some seconds, and orders that they do not name are sent again sooner.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from schemas.agents import Heartbeat
from schemas.ids import is_id
from shared.service import Counts, Loop
from worker_manager.counters import Counters
from worker_manager.store.executions import ExecutionStore

GATHER: Final = 0.5
UNHEARD_AFTER: Final = 5.0
"""Seconds after which an order that its worker does not name is sent again."""
UNHEARD_AFTER_OUTAGE: Final = 1.5
"""The same, shortly after the bus has come back."""
OUTAGE_LINGERS: Final = 10.0
"""Seconds after the end of an outage in which orders are sent again sooner."""
AT_ONCE: Final = 500

Send = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class Redelivery(Loop):
    """Sends orders again. Call `hear` with each heartbeat; `run_once` checks the workers that sent one since."""

    def __init__(
        self,
        store: ExecutionStore,
        send: Send,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("redelivery", interval=GATHER)
        self._store = store
        self._send = send
        self._counters = counters
        self._clock = clock
        self._changed_at = -OUTAGE_LINGERS
        self._heard: dict[str, Heartbeat] = {}

    def bus_changed(self, _connected: bool) -> None:
        """The bus has come back, or is away: for a while, orders are sent again sooner."""
        self._changed_at = self._clock()

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat. Only the latest of each worker matters."""
        if heartbeat.leaving or not (is_id(heartbeat.worker_id) and is_id(heartbeat.incarnation)):
            self._heard.pop(heartbeat.worker_id, None)
        else:
            self._heard[heartbeat.worker_id] = heartbeat

    async def run_once(self) -> Counts:
        heard, self._heard = self._heard, {}
        if not heard:
            return {}
        lately = self._clock() - self._changed_at < OUTAGE_LINGERS
        orders = await self._store.claim_unheard(
            [(heartbeat.worker_id, heartbeat.incarnation) for heartbeat in heard.values()],
            {execution_id for heartbeat in heard.values() for execution_id in heartbeat.held()},
            limit=AT_ONCE,
            after=UNHEARD_AFTER_OUTAGE if lately else UNHEARD_AFTER,
        )
        if orders:
            await self._send(orders)
            self._counters.redelivered.inc(len(orders))
        return {"redelivered": len(orders)}
