"""/api/v1/session: a browser session is opened with a token, exchanged for bearers, and ended."""

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from orchestrator.session_keys import SessionKeys
from orchestrator.store.sessions import OpenSession, SessionStore
from schemas.access import Role, hash_of
from schemas.events import SessionEnded
from schemas.rest.access import Session, SessionBearer
from shared.access import CALL, Principal, calling
from shared.access.known import KnownTokens
from shared.access.sessions import LIFETIME, Sessions
from shared.clock import now
from shared.errors import Conflict, Unauthorized
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import DOOR, GUARD, SESSION_COOKIE, Answer, Api, json_response

PATH: Final = "/api/v1/session"
LASTS: Final = timedelta(hours=12)
"""How long a session lasts."""
MOST_SESSIONS: Final = 100
"""The most sessions of one token that are open or ended a moment ago. Every service remembers the latter until their
bearers expire, for a limited number of sessions."""
_NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """The handlers."""

    store: SessionStore
    tokens: KnownTokens
    sessions: Sessions
    keys: SessionKeys
    outbox: Outbox
    public_path: str
    """The path below which people reach this service, for the cookie."""

    async def open_session(self, request: web.Request) -> web.StreamResponse:
        """With a token. The session lasts for twelve hours, or until its token expires or is revoked. Its cookie is for
        this service and for the routes below this path alone; a page exchanges it for bearers. For this service's own
        pages only."""
        request.app[DOOR].check_own_page(request)
        token = _principal()
        if token is None or token.session_id is not None:
            raise Conflict("a session is opened with a token: send it as Authorization: Bearer")
        cookie = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        created_at = now()
        ends = created_at + LASTS
        session = OpenSession(new_id(), token.id, _earlier(ends, token.expires_at))
        async with self.outbox.transaction() as tx:
            if await self.store.count(tx, token.id) >= MOST_SESSIONS:
                raise Conflict(
                    f"this token has {MOST_SESSIONS} sessions that are open, or ended in the last ten minutes: sign "
                    "out of those that you do not use, and try again in ten minutes"
                )
            await self.store.insert(tx, session, digest=hash_of(cookie), created_at=created_at)
            tx.changes(session.id)
        shown = Session(id=session.id, expires_at=session.expires_at)
        response = json_response(shown, status=201, headers=_NO_STORE)
        self._set_cookie(request, response, cookie, int((session.expires_at - created_at).total_seconds()))
        return response

    async def exchange_session(self, request: web.Request) -> web.StreamResponse:
        """With the session's cookie, and without `Authorization`. The bearer is valid for ten minutes, at all three
        services. A page keeps it in memory, and reads event streams with `fetch`, which can send it. For this
        service's own pages only."""
        request.app[DOOR].check_own_page(request)
        if _principal() is not None:
            raise Conflict("this needs the cookie of a session, and no Authorization")
        session = await self._of_cookie(request)
        expires_at = _earlier(now() + timedelta(seconds=LIFETIME), session.expires_at)
        text = self.keys.sign(session_id=session.id, token_id=session.token_id, expires_at=expires_at)
        return json_response(SessionBearer(token=text, expires_at=expires_at), headers=_NO_STORE)

    async def end_session(self, request: web.Request) -> web.StreamResponse:
        """With the session's cookie, or with one of its bearers: sign out. All services refuse the session's bearers
        within a second. For this service's own pages only."""
        request.app[DOOR].check_own_page(request)
        principal = _principal()
        if principal is None:
            session_id: str | None = (await self._of_cookie(request)).id
        else:
            session_id = principal.session_id
        if session_id is None:
            raise Conflict("this request has a token and not a session: a token ends when it is revoked")
        async with self.outbox.transaction() as tx:
            ended = await self.store.end(tx, session_id)
            if ended is not None:
                tx.changes(session_id)
                tx.emit(SessionEnded(**ended.model_dump()))
                tx.on_commit(lambda: self.sessions.end(ended))
        response = web.Response(status=204)
        self._set_cookie(request, response, "", 0)
        return response

    async def _of_cookie(self, request: web.Request) -> OpenSession:
        """The open session of the request's cookie, whose token becomes the principal of this call. Raises
        Unauthorized."""
        found = await self.store.find(hash_of(request.cookies.get(SESSION_COOKIE, "")))
        token = None if found is None else self.tokens.of_id(found.token_id)
        if found is None or token is None or (token.expires_at is not None and token.expires_at <= now()):
            raise Unauthorized("the session has ended, or its token was revoked", Role.VIEWER, wrong=found is None)
        call = calling()
        if call is not None:
            CALL.set(replace(call, principal=replace(token, session_id=found.id)))
        return found

    def _set_cookie(self, request: web.Request, response: web.Response, value: str, seconds: int) -> None:
        response.set_cookie(
            SESSION_COOKIE,
            value,
            path=self.public_path + PATH,
            max_age=seconds,
            httponly=True,
            samesite="Strict",
            secure=request.app[GUARD].is_secure(request),
        )


def _principal() -> Principal | None:
    """The principal of this call; None for a call with a session's cookie. Raises Conflict with access off."""
    call = calling()
    if call is None:
        raise Conflict("access is off: no request needs a token, and there are no sessions")
    return call.principal


def _earlier(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else min(one, other)


def api(routes: SessionRoutes) -> Api:
    """The routes."""
    api = Api(tag="access", description="Tokens: who may do what.")
    cookie = ("Set-Cookie",)
    api.post(PATH, summary="Open a browser session", answers={201: Answer(Session, headers=cookie)}, role=Role.VIEWER)(
        routes.open_session
    )
    api.post(
        f"{PATH}/bearer",
        summary="Exchange a browser session for a bearer",
        answers={200: SessionBearer},
        role=Role.VIEWER,
        session=True,
    )(routes.exchange_session)
    api.delete(
        PATH, summary="End a browser session", answers={204: Answer(headers=cookie)}, role=Role.VIEWER, session=True
    )(routes.end_session)
    return api
