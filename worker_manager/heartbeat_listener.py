"""Receives the heartbeats of all agents once and calls every part that uses them (`fleet`, `redelivery`, …)."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from schemas.agents import Heartbeat
from shared.bus import Bus, Subscription

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

    async def start(self) -> None:
        subject = self._bus.catalogue.agent("*", "heartbeat")
        self._subscription = await self._bus.subscribe(subject, self._hear)

    async def stop(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        try:
            heartbeat = Heartbeat.model_validate_json(payload)
        except ValidationError as error:
            self._refused.inc()
            log.warning("heartbeat.unreadable", subject=subject, error=str(error).splitlines()[0])
            return
        for listener in self._listeners:
            listener(heartbeat)
