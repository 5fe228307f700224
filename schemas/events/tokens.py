"""Events of tokens, published by the orchestrator. They are not on the feed."""

from schemas.access import Actor, KnownToken
from schemas.events.base import EventData


class TokenCreated(KnownToken, EventData):
    """By the orchestrator: requests with this token, which has this SHA-256, are to be accepted. Not on the feed."""

    event_type = "tokens.created"

    created_by: Actor | None = None

    def entity_id(self) -> str:
        return self.token_id


class TokenRevoked(EventData):
    """By the orchestrator: requests with this token are to be refused. Not on the feed."""

    event_type = "tokens.revoked"

    token_id: str
    name: str
    sha256: str
    revoked_by: Actor | None = None

    def entity_id(self) -> str:
        return self.token_id
