"""How long the audit log is kept: a kind of thing for `shared.retention`."""

from datetime import UTC, datetime, timedelta
from typing import Final

from shared.audit.store import AuditStore
from shared.clock import now
from shared.retention import Batch

PAGE: Final = 1000
"""The most rows that one statement deletes."""


class AuditLog:
    """Rows of calls longer ago than `age`; None keeps all of them."""

    name: Final = "audit_entries"

    def __init__(self, store: AuditStore, *, age: timedelta | None) -> None:
        self.age = age
        self._store = store

    async def batch(self) -> Batch:
        if self.age is None:
            return Batch(0, more=False)
        deleted = await self._store.delete_before(now() - self.age, PAGE)
        return Batch(deleted, more=deleted == PAGE)

    async def oldest(self) -> datetime | None:
        oldest = None if self.age is None else await self._store.oldest()
        return None if oldest is None else datetime.fromtimestamp(int(oldest.replace("-", "")[:12], 16) / 1000, UTC)
