"""The audit log: its list and its export, of its table and of the outbox; inserting refusals, and deleting old rows."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from schemas.ids import first_id_at, is_id
from schemas.rest.audit import AuditOutcome, AuditQuery
from schemas.rest.lists import of_actor
from shared.audit.rows import Row
from shared.postgres import Column, Database, Page, Rows, load_queries, narrowed_by, with_rows

EXPORTED_AT_ONCE: Final = 200
"""Rows of an export that are read with one statement: a row may name a thousand entities."""

REFUSALS: Final = Rows[Row](
    Column("id", "uuid"),
    Column("outcome", "text", cast="audit_outcome"),
    Column("token_id", "uuid"),
    Column("token_name", "text"),
    Column("address", "text", cast="inet"),
    Column("method", "text"),
    Column("route", "text"),
    Column("entity", "uuid"),
    Column("entities", "text", lambda row: row.entities and f"{{{','.join(row.entities)}}}", cast="uuid[]"),
    Column("name", "text"),
    Column("request", "uuid"),
    Column("request_text", "text"),
    Column("repeats", "integer"),
)


class AuditStore:
    """The audit log of one service."""

    def __init__(self, database: Database, *, service: str) -> None:
        self._database = database
        self._service = service
        self._sql = load_queries("shared.audit")

    async def find(self, query: AuditQuery, before: str | None) -> Page:
        """A page of the log, newest first."""
        return await self._page(query, before, query.limit)

    async def export(self, query: AuditQuery) -> AsyncIterator[bytes]:
        """All rows that match, newest first, as lines of JSON: some of them at a time."""
        before: str | None = None
        while True:
            page = await self._page(query, before, EXPORTED_AT_ONCE)
            yield "".join(f"{row}\n" for row in page.rows).encode()
            before = page.last
            if before is None:
                return

    async def insert(self, rows: Sequence[Row]) -> None:
        """Insert rows of refused calls. Repeating it with the same rows has no effect."""
        await self._database.execute(with_rows(self._sql["insert_refusals"], refusals=REFUSALS), *REFUSALS.arrays(rows))

    async def delete_before(self, moment: datetime, limit: int) -> int:
        """Delete at most `limit` of the oldest rows of calls before a moment. Returns how many."""
        async with self._database.transaction() as tx:
            await tx.fetch(self._sql["allow_audit_deletion"])
            return await tx.execute(self._sql["delete_audit"], first_id_at(moment), limit)

    async def oldest(self) -> str | None:
        """The id of the oldest row."""
        found: str | None = await self._database.fetch_value(self._sql["oldest_audit"])
        return found

    async def _page(self, query: AuditQuery, before: str | None, limit: int) -> Page:
        changed, post = query.outcome is AuditOutcome.CHANGED, query.method == "POST"
        entity = None if query.entity_id is None else query.entity_id.lower()
        values = {
            "service": self._service,
            "before": before,
            "from": None if query.created_after is None else first_id_at(query.created_after),
            "below": None if query.created_before is None else first_id_at(query.created_before),
            "outcome": None if changed or query.outcome is None else query.outcome.value,
            "changed": True if changed else None,
            "entity": entity if entity is not None and is_id(entity) else None,
            "name": None if entity is None or is_id(entity) else entity,
            **of_actor("token", query.by),
            "address": query.address,
            "method": None if post else query.method,
            "post": True if post else None,
            "route": query.route,
            "request_id": query.request_id,
            "limit": limit + 1,
        }
        return Page.of(await self._database.fetch_planned(narrowed_by(self._sql["list_audit"], values)), limit)
