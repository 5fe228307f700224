"""The client's call for the audit logs of the three services."""

import asyncio
from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import pages
from hodei.client.filters import AuditFilters
from hodei.client.services import Services
from schemas.rest.audit import AuditEntry


class AuditCalls(Services):
    """Read the audit logs."""

    async def audit(self, service: str | None = None, **filters: Unpack[AuditFilters]) -> AsyncIterator[AuditEntry]:
        """What was changed and refused, newest first: in a service (`orchestrator`, `scheduler` or `worker-manager`),
        or in all three. Raises ValueError for another name."""
        names = [service] if service is not None else list(self._services())
        logs = [pages(self.service(name), AuditEntry, "/api/v1/audit", filters) for name in names]
        newest = await asyncio.gather(*(anext(log, None) for log in logs))
        left = filters.get("limit")
        while left != 0:
            # Ids ascend with time, over all services.
            found = max((entry for entry in newest if entry is not None), key=lambda entry: entry.id, default=None)
            if found is None:
                return
            yield found
            left = None if left is None else left - 1
            of = newest.index(found)
            newest[of] = await anext(logs[of], None)
