"""How a process learns of the keys that sign bearers of sessions, and of sessions that ended.

The orchestrator publishes `sessions.key_added` and `sessions.ended`. Every replica of every service hears them on core
NATS; as a message may be lost, it also asks for all of them at the start, after each reconnection and once a minute.
While NATS is unavailable, a session that ended elsewhere keeps its bearers until they expire.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from schemas.cloudevents import MalformedEvents, decode_batch
from schemas.events import SessionEnded, SessionKeyAdded
from schemas.questions import SESSIONS, SessionsAnswer, SessionsQuestion
from shared.access.sessions import Sessions
from shared.bus import Bus, Subscription, ask
from shared.errors import BusUnavailable, Unavailable
from shared.service import Counts, Loop

EVERY: Final = 60.0
"""Seconds between two whole answers."""

_log = structlog.get_logger(__name__)

Source = Callable[[], Awaitable[SessionsAnswer]]


def asking(bus: Bus) -> Source:
    """The source of the services that ask the orchestrator."""
    return lambda: ask(bus, SESSIONS, SessionsQuestion())


class SessionSync(Loop):
    """A service that keeps `sessions` up to date."""

    def __init__(self, bus: Bus, sessions: Sessions, source: Source) -> None:
        super().__init__("sessions", interval=EVERY)
        self._bus = bus
        self._sessions = sessions
        self._source = source
        self._subscriptions: list[Subscription] = []
        self._stop_listening: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Listen, and try to learn all of them before the first request."""
        for event in (SessionEnded, SessionKeyAdded):
            subject = self._bus.catalogue.event(event.event_type)
            self._subscriptions.append(await self._bus.subscribe(subject, self._hear))
        self._stop_listening = self._bus.on_change(self._connection_changed)
        try:
            await self.run_once()
        except (Unavailable, BusUnavailable) as error:
            _log.info("sessions.not_read", error=str(error))
        await super().start()

    async def stop(self) -> None:
        self._stop_listening()
        await super().stop()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    async def run_once(self) -> Counts:
        """Learn all of them, and forget what has expired."""
        found = await self._source()
        for key in found.keys:
            self._sessions.learn(key)
        for session in found.ended:
            self._sessions.end(session)
        self._sessions.forget()
        return {}

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self.wake()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        event_type = self._bus.catalogue.event_type(subject)
        try:
            events = [event.data for event in decode_batch(event_type, payload)]
        except MalformedEvents as error:
            _log.warning("sessions.unreadable", event_type=event_type, error=str(error))
            return
        for event in events:
            if isinstance(event, SessionEnded):
                self._sessions.end(event)
            elif isinstance(event, SessionKeyAdded):
                self._sessions.learn(event)
