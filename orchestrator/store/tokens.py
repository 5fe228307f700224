"""All tokens, those that are refused too. Of a token's text, only the SHA-256 is known here."""

from datetime import datetime, timedelta
from typing import Final

from schemas.access import Actor, BootstrapToken, KnownToken
from schemas.rest.access import Token, TokenQuery
from shared.clock import now
from shared.postgres import Database, Page, Record, Runner, Transaction, load_queries, narrowed_by

KEPT: Final = timedelta(days=365)
"""For how long a token that was revoked, or has expired, stays listed."""


class TokenStore:
    """Reads and writes the table `tokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def insert(
        self, tx: Transaction, token: KnownToken, *, created_at: datetime, created_by: Actor | None
    ) -> None:
        """Insert a new token."""
        await tx.execute(
            self._sql["insert_token"],
            bytes.fromhex(token.sha256),
            token.token_id,
            token.name,
            token.role.value,
            created_at,
            None if created_by is None else created_by.model_dump(),
            token.expires_at,
        )

    async def take(self, tx: Transaction, token: BootstrapToken) -> bool:
        """Insert a token of the set-up, unless it is known. Returns whether it was new."""
        values = (bytes.fromhex(token.sha256), token.id, token.name, token.role.value, now())
        return bool(await tx.fetch_value(self._sql["import_token"], *values))

    async def count(self, on: Runner) -> int:
        """The number of tokens that are to be accepted."""
        return int(await on.fetch_value(self._sql["count_tokens_in_force"]))

    async def get(self, token_id: str) -> Token | None:
        """One token."""
        row = await self._database.fetch_one(self._sql["get_token"], token_id)
        return None if row is None else _token(row)

    async def find(self, query: TokenQuery, before: str | None) -> Page:
        """A page of tokens, newest first."""
        values = {
            "before": before,
            "name": query.name,
            "role": None if query.role is None else query.role.value,
            "limit": query.limit + 1,
            **{state: True if query.state == state else None for state in ("active", "expired", "revoked")},
        }
        sql, arguments = narrowed_by(self._sql["list_tokens"], values)
        rows = await self._database.fetch(sql, *arguments)
        kept = rows[: query.limit]
        return Page(
            [_token(row).model_dump_json() for row in kept], kept[-1]["id"] if len(rows) > query.limit else None
        )

    async def admins(self, tx: Transaction) -> dict[str, bool]:
        """Lock the tokens of admins that are to be accepted. Returns for each id whether the token never expires."""
        return {row["id"]: row["lasting"] for row in await tx.fetch(self._sql["lock_admin_tokens"])}

    async def revoke(self, tx: Transaction, token_id: str, *, by: Actor | None) -> tuple[bytes, str] | None:
        """Revoke a token. Returns its SHA-256 and name, or None when it does not exist or is revoked already."""
        revoked_by = None if by is None else by.model_dump()
        row = await tx.fetch_one(self._sql["revoke_token"], token_id, now(), revoked_by)
        return None if row is None else (row["hash"], row["name"])

    async def purge(self, limit: int) -> int:
        """Delete at most `limit` tokens that were revoked, or expired, long ago; none of the set-up."""
        return await self._database.execute(self._sql["purge_tokens"], now() - KEPT, limit)


def _token(row: Record) -> Token:
    return Token.model_validate(dict(row))
