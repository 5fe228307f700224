"""Events of browser sessions, published by the orchestrator. They are not on the feed."""

from schemas.access import EndedSession, SessionKey
from schemas.events.base import EventData


class SessionEnded(EndedSession, EventData):
    """By the orchestrator: bearers of this session are to be refused. Not on the feed."""

    event_type = "sessions.ended"

    def entity_id(self) -> str:
        return self.session_id


class SessionKeyAdded(SessionKey, EventData):
    """By the orchestrator: bearers of sessions that this key signs are to be accepted. Not on the feed."""

    event_type = "sessions.key_added"

    def entity_id(self) -> str:
        return self.key_id
