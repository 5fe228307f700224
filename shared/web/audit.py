"""GET /api/v1/audit: who changed what, and who was refused.

Here: the route, the same in each service, over its own log, in pages or as a whole. Not here: how rows are written
(`shared.audit`).
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from schemas.access import Role
from schemas.rest.audit import AuditEntry, AuditQuery
from shared.audit import AuditStore
from shared.web.api import Api
from shared.web.openapi import Answer
from shared.web.paging import answer_page
from shared.web.pieces import send_pieces

NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class AuditRoutes:
    """The handler of the route."""

    store: AuditStore

    async def list_audit(self, request: web.Request, query: AuditQuery) -> web.StreamResponse:
        """One entry for each call that changed something, and for each that was refused; only of calls made while
        access was on. With `Accept: application/x-ndjson` the response has all that match, one JSON object in each
        line, without pages. Refused calls appear some seconds later."""
        if NDJSON in request.headers.get("Accept", ""):
            return await send_pieces(request, NDJSON, self.store.export(query))
        return await answer_page(request, query, self.store.find)


def api(store: AuditStore) -> Api:
    """The route."""
    api = Api(tag="audit", description="The audit log: who changed what, and who was refused.")
    api.get(
        "/api/v1/audit",
        summary="List what was changed and refused, newest first",
        query=AuditQuery,
        answers={200: Answer(list[AuditEntry], also=(NDJSON,))},
        role=Role.ADMIN,
    )(AuditRoutes(store).list_audit)
    return api
