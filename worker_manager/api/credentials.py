"""/api/v1/credentials: read-only credentials for the bus, for subscribers."""

from dataclasses import dataclass

from aiohttp import web

from schemas.rest.enrolment import Credentials, CredentialsCreate, CredentialsCreated, CredentialsQuery
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
class CredentialsRoutes:
    """The handlers of the routes."""

    enrolments: Enrolments
    store: EnrolmentStore
    outbox: Outbox

    async def create_credentials(self, request: web.Request, body: CredentialsCreate) -> web.StreamResponse:
        """A subscriber with them may hear these subjects and publish nothing. Their text is in this response only. 409
        when the platform's NATS asks for no credentials."""
        async with idempotent(request, self.outbox) as tx:
            made, text = await self.enrolments.make_credentials(
                tx, body.name, body.subjects, expires_at=body.expires_at, by=actor()
            )
            answer = answer_once(tx, made, "/api/v1/credentials", credentials=text)
        return answer

    async def list_credentials(self, request: web.Request, query: CredentialsQuery) -> web.StreamResponse:
        """Those that were revoked or have expired included."""
        return await answer_page(request, query, self.store.list_credentials)

    async def get_credentials(self, _request: web.Request, id: str) -> web.StreamResponse:
        """What they allow, without their text."""
        return json_response(_found(await self.store.credentials(id), id))

    async def revoke_credentials(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Within seconds NATS refuses them, and ends the connections of their subscribers. Revoking them again changes
        nothing."""
        _found(await self.store.credentials(id), id)
        async with self.outbox.transaction() as tx:
            await self.enrolments.revoke_credentials(tx, id)
        return web.Response(status=204)


def api(routes: CredentialsRoutes) -> Api:
    """The routes of read-only credentials."""
    api = Api(tag="credentials", description="Read-only credentials for NATS, for subscribers.", kind="credentials")
    api.post(
        "/api/v1/credentials",
        summary="Create read-only credentials",
        body=CredentialsCreate,
        answers={201: CredentialsCreated},
        problems=[409],
        creates=True,
    )(routes.create_credentials)
    api.get(
        "/api/v1/credentials",
        summary="List read-only credentials, newest first",
        query=CredentialsQuery,
        answers={200: list[Credentials]},
    )(routes.list_credentials)
    api.get("/api/v1/credentials/{id}", summary="Show read-only credentials", answers={200: Credentials})(
        routes.get_credentials
    )
    api.delete("/api/v1/credentials/{id}", summary="Revoke read-only credentials", answers={204: None})(
        routes.revoke_credentials
    )
    return api


def _found(body: str | None, id: str) -> str:
    if body is None:
        raise NotFound("credentials", id)
    return body
