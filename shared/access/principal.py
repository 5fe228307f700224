"""The principal: who a request acts for."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from schemas.access import Actor, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A token, or a browser's session that was opened with it; `id` and `name` are the token's. `expires_at` is the
    time from which it is refused."""

    id: str
    name: str
    role: Role
    expires_at: datetime | None = None
    session_id: str | None = None

    @property
    def actor(self) -> Actor:
        """The principal as entities and events record it."""
        return _actor(self.id, self.name)


@lru_cache(maxsize=1024)  # every change that a busy client makes names it
def _actor(id: str, name: str) -> Actor:
    return Actor(id=id, name=name)
