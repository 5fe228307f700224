"""/api/v1/concurrency: the concurrency keys that jobs hold or wait for."""

from dataclasses import dataclass

from aiohttp import web

from orchestrator.store.claims import ClaimStore
from schemas.rest.concurrency import ConcurrencyKey, ConcurrencyQuery
from shared.web import Api
from shared.web.paging import decode_cursor, encode_cursor, page


@dataclass(frozen=True, slots=True)
class ConcurrencyRoutes:
    """The handler of the route, and the store that it uses."""

    claims: ClaimStore

    async def list_keys(self, request: web.Request, query: ConcurrencyQuery) -> web.StreamResponse:
        """The keys of jobs that are not over. `GET /api/v1/jobs?concurrency_key=…` lists the jobs of a key."""
        after = decode_cursor(query.cursor, "text", "text") if query.cursor else None
        found = await self.claims.find(query, after)
        return page(request, found.bodies, encode_cursor(*found.last) if found.last is not None else None)


def api(routes: ConcurrencyRoutes) -> Api:
    """The route."""
    api = Api(tag="concurrency", description="Concurrency keys: which jobs hold them, and how many wait.")
    api.get(
        "/api/v1/concurrency",
        summary="List concurrency keys",
        query=ConcurrencyQuery,
        answers={200: list[ConcurrencyKey]},
    )(routes.list_keys)
    return api
