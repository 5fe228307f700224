"""/api/v1/tokens: create, list, show and revoke tokens."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from orchestrator.store.tokens import TokenStore
from schemas.access import SECRET_BYTES, Role, hash_of, token_of
from schemas.events import TokenCreated as TokenCreatedEvent
from schemas.events import TokenRevoked
from schemas.rest.access import Token, TokenCreate, TokenCreated, TokenQuery
from shared.access import actor
from shared.access.sync import MOST_TOKENS, TokenSync
from shared.clock import now
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page


@dataclass(frozen=True, slots=True)
class TokenRoutes:
    """The handlers. `access_on` says whether requests need a token."""

    store: TokenStore
    sync: TokenSync
    outbox: Outbox
    access_on: bool

    async def create_token(self, request: web.Request, body: TokenCreate) -> web.StreamResponse:
        """The response is the only one with the token's text. The replay of an `Idempotency-Key` lacks it: revoke that
        token then, and create another. All services accept the token within a second. With access off, 409: whoever
        reaches the service could otherwise keep a token for the time when access is on."""
        if not self.access_on:
            raise Conflict("access is off, so that tokens have no effect: set HODEI_AUTH=on")
        if body.expires_at is not None and body.expires_at <= now():
            raise Invalid([FieldError(("body", "expires_at"), "should be in the future", "past")])
        text = token_of(secrets.token_bytes(SECRET_BYTES))
        by, created_at = actor(), now()
        created = TokenCreatedEvent(
            token_id=new_id(),
            name=body.name,
            role=body.role,
            sha256=hash_of(text).hex(),
            expires_at=body.expires_at,
            created_by=by,
        )
        shown = TokenCreated(
            id=created.token_id,
            name=body.name,
            role=body.role,
            created_at=created_at,
            created_by=by,
            expires_at=body.expires_at,
            revoked_at=None,
            last_used_at=None,
            token=None,
        )
        async with idempotent(request, self.outbox) as tx:
            if await self.store.count(tx) >= MOST_TOKENS:
                raise Conflict(f"there are {MOST_TOKENS:,} tokens already: revoke some first")
            await self.store.insert(tx, created, created_at=created_at, created_by=by)
            tx.emit(created)
            tx.on_commit(lambda: self.sync.created(created))
            response = tx.answer(
                201,
                shown.model_copy(update={"token": text}),
                {"Location": f"/api/v1/tokens/{created.token_id}", "Cache-Control": "no-store"},
                kept=shown,
            )
        return response

    async def list_tokens(self, request: web.Request, query: TokenQuery) -> web.StreamResponse:
        """Tokens that were revoked, or have expired, stay listed for a year."""
        return await answer_page(request, query, self.store.find)

    async def get_token(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The token's text is not known."""
        found = await self.store.get(id)
        if found is None:
            raise NotFound("token", id)
        return json_response(found)

    async def revoke_token(self, _request: web.Request, id: str) -> web.StreamResponse:
        """All services refuse the token within a second. A revoked token stays revoked; revoking it again changes
        nothing. An admin's token is not revoked (409) unless another one remains that does not expire."""
        by = actor()
        async with self.outbox.transaction() as tx:
            if self.access_on:
                _check_admin_remains(await self.store.admins(tx), id)
            revoked = await self.store.revoke(tx, id, by=by)
            if revoked is not None:
                digest, name = revoked
                tx.emit(TokenRevoked(token_id=id, name=name, sha256=digest.hex(), revoked_by=by))
                tx.on_commit(lambda: self.sync.revoked(id, digest))
        if revoked is None and await self.store.get(id) is None:
            raise NotFound("token", id)
        return web.Response(status=204)


def _check_admin_remains(admins: Mapping[str, bool], revoked: str) -> None:
    """Raises Conflict if without this token no admin's token would be left, or only such as expire. `admins` has the
    admins' tokens that are to be accepted, and whether each never expires."""
    others = [lasting for token_id, lasting in admins.items() if token_id != revoked]
    if revoked not in admins or any(others):
        return
    if others:
        raise Conflict(
            "all other tokens of admins expire, so that a day would come without an admin: create one with the role "
            "admin and without an expiry before you revoke this one"
        )
    raise Conflict("this is the last token of an admin: create another, without an expiry, before you revoke it")


def api(routes: TokenRoutes) -> Api:
    """The routes."""
    api = Api(tag="access", description="Tokens: who may do what.")
    api.post(
        "/api/v1/tokens",
        summary="Create a token",
        body=TokenCreate,
        answers={201: TokenCreated},
        creates=True,
        role=Role.ADMIN,
    )(routes.create_token)
    api.get(
        "/api/v1/tokens",
        summary="List tokens, newest first",
        query=TokenQuery,
        answers={200: list[Token]},
        role=Role.ADMIN,
    )(routes.list_tokens)
    api.get("/api/v1/tokens/{id}", summary="Show a token", answers={200: Token}, role=Role.ADMIN)(routes.get_token)
    api.delete("/api/v1/tokens/{id}", summary="Revoke a token", answers={204: None}, role=Role.ADMIN)(
        routes.revoke_token
    )
    return api
