"""The key with which this process signs bearers of browser sessions. It never leaves the memory of the process; its
public half is in the database and published, so that every service accepts what it signs.
"""

import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from nacl.signing import SigningKey

from orchestrator.store.sessions import SessionStore
from schemas.access import SessionKey
from schemas.events import SessionKeyAdded
from shared.access.sessions import LIFETIME, Sessions, sign_bearer
from shared.clock import now
from shared.outbox import Outbox
from shared.service import Counts, Loop

LOOKED_AT_EVERY: Final = 600.0
SIGNS_FOR: Final = 86_400.0
"""Seconds after which a key is replaced."""
KNOWN_AFTER: Final = 120.0
"""Seconds after which every service knows a new key, even if it missed the event."""


class _Key(NamedTuple):
    id: bytes
    key: SigningKey
    made_at: float


class SessionKeys(Loop):
    """A service that makes the key at its start, and another each day."""

    def __init__(
        self,
        store: SessionStore,
        sessions: Sessions,
        outbox: Outbox,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("session_keys", interval=LOOKED_AT_EVERY)
        self._store = store
        self._sessions = sessions
        self._outbox = outbox
        self._clock = clock
        self._keys: list[_Key] = []

    async def start(self) -> None:
        """Make the first key, so that it is known before the first request."""
        await self.run_once()
        await super().start()

    async def run_once(self) -> Counts:
        """Make a key if there is none, or the last one is a day old."""
        if self._keys and self._clock() - self._keys[-1].made_at < SIGNS_FOR:
            return {}
        made = _Key(secrets.token_bytes(8), SigningKey.generate(), self._clock())
        lasts = timedelta(seconds=SIGNS_FOR + 2 * LOOKED_AT_EVERY + LIFETIME + KNOWN_AFTER)
        public = SessionKey(key_id=made.id.hex(), public_key=bytes(made.key.verify_key).hex(), expires_at=now() + lasts)
        async with self._outbox.transaction() as tx:
            await self._store.insert_key(tx, public)
            tx.emit(SessionKeyAdded(**public.model_dump()))
        self._sessions.learn(public)
        self._keys = [*self._keys[-1:], made]
        return {"made": 1}

    def sign(self, *, session_id: str, token_id: str, expires_at: datetime) -> str:
        """A bearer of a session. A new key is used once every service knows it."""
        last = self._keys[-1]
        used = last if self._clock() - last.made_at >= KNOWN_AFTER else self._keys[0]
        return sign_bearer(used.key, used.id, session_id=session_id, token_id=token_id, expires_at=expires_at)
