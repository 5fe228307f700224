"""Making good a lost hand-over: an order that its worker does not speak of is sent again.

Core NATS forgets what nobody heard, so an order counts as delivered only once the worker reports the start or names
the execution in a heartbeat. Heartbeats are gathered for half a second and answered with one query, however many
workers there are; without heartbeats nothing is asked. An agent ignores an order that it has seen.

When the bus has just come back, orders are likely to have been lost: they were sent before their worker was connected
again. Agents then beat faster for some seconds, and what they do not speak of is sent again sooner.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from schemas.agents import Heartbeat
from schemas.ids import is_id
from shared.service import Counts, Loop
from worker_manager.counters import Counters
from worker_manager.store import ExecutionStore

GATHER: Final = 0.5
UNHEARD_AFTER: Final = 5.0
"""Seconds without a word of it, before an order is sent again."""
UNHEARD_AFTER_OUTAGE: Final = 1.5
"""The same while the bus has not been back for long."""
OUTAGE_LINGERS: Final = 10.0
"""Seconds for which orders that were sent at the end of an outage may still be unheard of."""
AT_ONCE: Final = 500

Send = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class Redelivery(Loop):
    """`hear` each heartbeat; `run_once` sends again what the workers heard of since do not know."""

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
        """The bus is there, or away: for a while orders are thought lost sooner."""
        self._changed_at = self._clock()

    def hear(self, heartbeat: Heartbeat) -> None:
        """Only the latest word of each worker matters."""
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
