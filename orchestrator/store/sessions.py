"""Browser sessions, and the public keys that verify their bearers. Of a cookie, only the SHA-256 is known here."""

from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.access import EndedSession, SessionKey
from schemas.questions import SessionsAnswer, SessionsQuestion
from shared.access.sessions import LIFETIME
from shared.clock import now
from shared.postgres import Database, Transaction, load_queries


class OpenSession(NamedTuple):
    """A session that has neither ended nor expired."""

    id: str
    token_id: str
    expires_at: datetime


class SessionStore:
    """Reads and writes the tables `sessions` and `session_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def count(self, tx: Transaction, token_id: str) -> int:
        """The number of sessions of a token that are open, or whose bearers may still be valid. Until the end of the
        transaction no other counts them."""
        await tx.execute(self._sql["lock_token"], token_id)
        moment = now()
        return int(
            await tx.fetch_value(self._sql["count_sessions"], token_id, moment, moment - timedelta(seconds=LIFETIME))
        )

    async def insert(self, tx: Transaction, session: OpenSession, *, digest: bytes, created_at: datetime) -> None:
        """Insert a new session; `digest` is its cookie's."""
        await tx.execute(
            self._sql["insert_session"], digest, session.id, session.token_id, created_at, session.expires_at
        )

    async def find(self, digest: bytes) -> OpenSession | None:
        """The open session of a cookie."""
        row = await self._database.fetch_one(self._sql["get_session"], digest, now())
        return None if row is None else OpenSession(row["id"], row["token_id"], row["expires_at"])

    async def end(self, tx: Transaction, session_id: str) -> EndedSession | None:
        """End a session; None when it does not exist or is over."""
        row = await tx.fetch_one(self._sql["end_session"], session_id, now())
        return None if row is None else EndedSession(session_id=session_id, token_id=row["token_id"])

    async def insert_key(self, tx: Transaction, key: SessionKey) -> None:
        """Insert a public key."""
        values = (bytes.fromhex(key.key_id), bytes.fromhex(key.public_key), key.expires_at)
        await tx.execute(self._sql["insert_session_key"], *values)

    async def current(self) -> SessionsAnswer:
        """The keys, and the sessions that ended while their bearers may still be valid."""
        keys = await self._database.fetch(self._sql["session_keys"])
        ended = await self._database.fetch(self._sql["ended_sessions"], now() - timedelta(seconds=LIFETIME))
        return SessionsAnswer(
            keys=[
                SessionKey(key_id=row["id"].hex(), public_key=row["public_key"].hex(), expires_at=row["expires_at"])
                for row in keys
            ],
            ended=[EndedSession(session_id=row["id"], token_id=row["token_id"]) for row in ended],
        )

    async def answer(self, _asked: SessionsQuestion) -> SessionsAnswer:
        """The same, for another service."""
        return await self.current()

    async def purge(self, limit: int) -> int:
        """Delete at most `limit` sessions whose bearers have expired."""
        return await self._database.execute(self._sql["purge_sessions"], now() - timedelta(hours=1), limit)
