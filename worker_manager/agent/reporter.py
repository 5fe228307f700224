"""Reports of executions: batches of events, one event type a batch.

The first outcome after a quiet time leaves at once; while many come, batches leave one linger apart, so that they grow.
A `started` event waits a moment for the outcome, which a short command reaches within that time, so that consumers
handle both in one step. Events of one execution in the same flush keep their order, `started` before `finished`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

from schemas.cloudevents import CloudEvent, encode_batches
from schemas.events import EventData, ExecutionFinished, ExecutionReturned, ExecutionStarted
from schemas.subjects import Catalogue
from shared.clock import now
from shared.telemetry import common, continued
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.identity import Identity
from worker_manager.agent.spool import Message

_MAX_BATCH: Final = 500
_MAX_BYTES: Final = 256 * 1024
"""The most bytes of one message: half of what a NATS server must accept."""
_MAX_FLIGHTS: Final = 16
STARTED_HOLD: Final = 0.02
"""Seconds that a `started` event may wait so that other events share its flush."""

Report = ExecutionStarted | ExecutionFinished | ExecutionReturned
_ORDER: Final[tuple[type[EventData], ...]] = (ExecutionStarted, ExecutionReturned, ExecutionFinished)


class Reporter:
    """Batches reports and delivers them; a service. `linger` is in seconds."""

    name = "reporter"

    def __init__(self, delivery: Delivery, identity: Identity, catalogue: Catalogue, *, linger: float) -> None:
        self._delivery = delivery
        self._identity = identity
        self._catalogue = catalogue
        self._linger = linger
        self._waiting: list[CloudEvent[EventData]] = []
        self._wake = asyncio.Event()
        self._flights: set[asyncio.Task[bool]] = set()
        self._task: asyncio.Task[None] | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._stopping = False

    def report(self, data: Report, *, traceparent: str | None = None) -> None:
        """Deliver a report in the next flush. An outcome counts as unsettled until it is on the bus."""
        self._waiting.append(self._identity.sign(data, time=now(), traceparent=traceparent))
        if isinstance(data, ExecutionStarted):
            if self._hold is None:
                self._hold = asyncio.get_running_loop().call_later(STARTED_HOLD, self._wake.set)
        else:
            self._delivery.hold(data.execution_id)
            self._wake.set()

    async def start(self) -> None:
        """Start delivering."""
        self._task = asyncio.create_task(self._flush_forever(), name=self.name)

    async def settle(self) -> None:
        """Get all reports so far onto the bus, or else to disk, within a short deadline: the agent is stopping."""
        self._delivery.hurry()
        await self._flush()
        if self._flights:
            await asyncio.wait(self._flights)

    async def stop(self) -> None:
        """Deliver all reports. They are on the bus or kept when this returns."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._flights:
            await asyncio.wait(self._flights)

    async def _flush_forever(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            executions = await self._flush()
            if executions > 1 and not self._stopping:
                await asyncio.sleep(self._linger)
        await self._flush()

    async def _flush(self) -> int:
        """Send the reports that wait. Returns about how many executions they concern."""
        waiting, self._waiting = self._waiting, []
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        most = 0
        for kind in _ORDER:
            events = [event for event in waiting if type(event.data) is kind]
            most = max(most, len(events))
            for at in range(0, len(events), _MAX_BATCH):
                await self._send(events[at : at + _MAX_BATCH])
        return most

    async def _send(self, events: Sequence[CloudEvent[EventData]]) -> None:
        for part, payload in encode_batches(events, limit=_MAX_BYTES):
            await self._send_batch(part, payload)

    async def _send_batch(self, events: Sequence[CloudEvent[EventData]], payload: bytes) -> None:
        first = events[0]
        message = Message(
            self._catalogue.report(first.data.event_type, self._identity.worker_id),
            f"{self._identity.incarnation}-{first.id}",
            payload,
            essential=not isinstance(first.data, ExecutionStarted),
            reports=tuple(event.data.entity_id() for event in events if not isinstance(event.data, ExecutionStarted)),
        )
        while len(self._flights) >= _MAX_FLIGHTS:
            await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)
        trace = common([event.traceparent for event in events])
        with nullcontext() if trace is None else continued(trace):  # so that the message's header has the trace, too
            flight = asyncio.create_task(self._delivery.deliver(message))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
