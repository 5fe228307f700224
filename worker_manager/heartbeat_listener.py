"""Receives the heartbeats of all agents once and calls every part that uses them (`fleet`, `redelivery`, …)."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from schemas.agents import Heartbeat
from schemas.storable import fault_of_news
from shared.bus import Bus, ForeignKind, Subscription
from shared.telemetry import LinePace

log = structlog.get_logger(__name__)

Hears = Callable[[Heartbeat], None]


class HeartbeatListener:
    """Subscribes to `agents.*.heartbeat` on core NATS; a service."""

    name: Final = "heartbeats"

    def __init__(self, bus: Bus, listeners: Sequence[Hears], refused: Counter) -> None:
        self._bus = bus
        self._refused = refused
        self._listeners = listeners
        self._subscription: Subscription | None = None
        self._lines = LinePace()

    async def start(self) -> None:
        subject = self._bus.catalogue.agent("*", "heartbeat")
        self._subscription = await self._bus.subscribe(subject, self._hear)

    async def stop(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        try:
            heartbeat = Heartbeat.model_validate_json(payload)
            if (fault := fault_of_news(heartbeat, payload)) is not None:
                raise ValueError(fault)
        except ValueError as error:
            self._refused.inc()
            if (unlogged := self._lines.due()) is not None:
                reason = str(error).splitlines()[0]
                log.warning("heartbeat.unreadable", subject=subject, error=reason, unlogged=unlogged)
            return
        if (named := self._bus.catalogue.agent_of(subject)) != heartbeat.worker_id:
            self._bus.foreign.count(ForeignKind.HEARTBEAT, named, ids=[heartbeat.worker_id])
            return
        for listener in self._listeners:
            listener(heartbeat)
