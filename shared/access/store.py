"""The tokens in a service's own schema, so that it knows them after a restart.

Not here: what only the orchestrator does with its table, which is the truth of which the others are copies.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from schemas.access import KnownToken
from schemas.ids import LOWEST
from shared.postgres import Database, load_queries

PAGE: Final = 1000
"""Tokens that one statement reads and one answer carries: some 250 KB."""
MOST_EXPIRED: Final = 10_000
"""The most tokens that are known although they have expired."""


class KnownTokenStore:
    """Reads and writes the table `tokens` of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("shared.access")

    async def page(self, after: str | None) -> list[KnownToken]:
        """Up to PAGE + 1 tokens that are to be known, in the order of their ids."""
        rows = await self._database.fetch(self._sql["known_tokens"], after or LOWEST, PAGE + 1, MOST_EXPIRED)
        return [
            KnownToken(
                token_id=row["id"],
                name=row["name"],
                role=row["role"],
                sha256=row["hash"].hex(),
                expires_at=row["expires_at"],
            )
            for row in rows
        ]

    async def all(self) -> list[KnownToken]:
        """Every token that is to be known: those that are to be accepted, and the last ones that expired."""
        found = await self.page(None)
        tokens = found[:PAGE]
        while len(found) > PAGE:
            found = await self.page(tokens[-1].token_id)
            tokens += found[:PAGE]
        return tokens

    async def keep(self, token: KnownToken) -> None:
        """Write a new token, unless it was revoked already."""
        await self._database.execute(
            self._sql["keep_token"],
            bytes.fromhex(token.sha256),
            token.token_id,
            token.name,
            token.role.value,
            token.expires_at,
        )

    async def forget(self, token_id: str, digest: bytes, name: str) -> None:
        """Note that a token was revoked, so that nothing older brings it back."""
        await self._database.execute(self._sql["forget_token"], digest, token_id, name)

    async def keep_only(self, tokens: Sequence[KnownToken]) -> None:
        """Make the table hold exactly these tokens, apart from those that were revoked meanwhile."""
        await self._database.execute(
            self._sql["keep_tokens"],
            [bytes.fromhex(token.sha256) for token in tokens],
            [token.token_id for token in tokens],
            [token.name for token in tokens],
            [token.role.value for token in tokens],
            [token.expires_at for token in tokens],
        )

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """Note when tokens were last used, to the minute; unknown ids are ignored."""
        if used:
            await self._database.execute(self._sql["note_use"], list(used), list(used.values()))


def moments(used: Mapping[str, float]) -> dict[str, datetime]:
    """Seconds since 1970 as times."""
    return {token_id: datetime.fromtimestamp(seconds, UTC) for token_id, seconds in used.items()}
