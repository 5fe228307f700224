"""/api/v1/join-tokens and /api/v1/enrolments: who may run workers, and the workers that enrolled."""

from dataclasses import dataclass

from aiohttp import web

from schemas.rest.enrolment import (
    Enrolment,
    EnrolmentQuery,
    JoinToken,
    JoinTokenCreate,
    JoinTokenCreated,
    JoinTokenQuery,
)
from shared.access import actor
from shared.errors import NotFound
from shared.outbox import Outbox
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page
from worker_manager.api.secrets import answer_once
from worker_manager.enrolment import Enrolments
from worker_manager.store.enrolment import EnrolmentStore


@dataclass(frozen=True, slots=True)
class JoinTokenRoutes:
    """The handlers of the routes."""

    enrolments: Enrolments
    store: EnrolmentStore
    outbox: Outbox

    async def create_join_token(self, request: web.Request, body: JoinTokenCreate) -> web.StreamResponse:
        """With its text, `hodei worker --join` lets that many workers enrol, within the type and the labels that it
        allows. The text is in this response only. 409 when the platform's NATS asks for no credentials."""
        async with idempotent(request, self.outbox) as tx:
            made, token = await self.enrolments.make_join_token(tx, body, by=actor())
            answer = answer_once(tx, made, "/api/v1/join-tokens", token=token)
        return answer

    async def list_join_tokens(self, request: web.Request, query: JoinTokenQuery) -> web.StreamResponse:
        """Those that expired less than 30 days ago included."""
        return await answer_page(request, query, self.store.join_tokens)

    async def get_join_token(self, _request: web.Request, id: str) -> web.StreamResponse:
        """What it allows, and how often it was used."""
        return json_response(_found(await self.store.join_token(id), "join token", id))

    async def revoke_join_token(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Within seconds nothing can enrol with it any more. Workers that enrolled with it stay. Revoking it again
        changes nothing."""
        _found(await self.store.join_token(id), "join token", id)
        async with self.outbox.transaction() as tx:
            await self.enrolments.revoke_join_token(tx, id)
        return web.Response(status=204)

    async def list_enrolments(self, request: web.Request, query: EnrolmentQuery) -> web.StreamResponse:
        """Those whose credentials were revoked or have expired included, until they could not be renewed any more."""
        return await answer_page(request, query, self.store.enrolments)


def api(routes: JoinTokenRoutes) -> Api:
    """The routes of join tokens."""
    api = Api(tag="enrolment", description="Who may run workers: join tokens, and the workers that enrolled.")
    api.post(
        "/api/v1/join-tokens",
        summary="Create a join token",
        body=JoinTokenCreate,
        answers={201: JoinTokenCreated},
        problems=[409],
        creates=True,
    )(routes.create_join_token)
    api.get(
        "/api/v1/join-tokens",
        summary="List join tokens, newest first",
        query=JoinTokenQuery,
        answers={200: list[JoinToken]},
    )(routes.list_join_tokens)
    api.get("/api/v1/join-tokens/{id}", summary="Show a join token", answers={200: JoinToken})(routes.get_join_token)
    api.delete("/api/v1/join-tokens/{id}", summary="Revoke a join token", answers={204: None})(routes.revoke_join_token)
    api.get(
        "/api/v1/enrolments",
        summary="List the workers that have credentials, newest first",
        query=EnrolmentQuery,
        answers={200: list[Enrolment]},
    )(routes.list_enrolments)
    return api


def _found(body: str | None, kind: str, id: str) -> str:
    if body is None:
        raise NotFound(kind, id)
    return body
