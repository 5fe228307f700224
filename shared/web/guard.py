"""The guard: from a request to the principal that it acts for, and whether that principal's role allows it.

`Guard.principal` is the one function that tells who a request acts for; a further kind of proof, such as a browser's
session, belongs there. Here: that, and the check of the role that a route needs. Not here: which pages and hosts are
admitted (`door`), the tokens that are known (`shared.access`), and whether an entity is the principal's own (handlers).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Protocol

from aiohttp import web

from schemas.access import PREFIX, SESSION_PREFIX, Role, check_form
from shared.access import CALL, Call, Principal
from shared.clock import now
from shared.errors import RoleNeeded, TokensUnread, Unauthorized
from shared.proxies import Proxies
from shared.telemetry import CALLER, Metrics
from shared.web.request_id import request_id
from shared.web.wrong_tokens import WrongTokens

SCHEME: Final = "bearer "
SESSION_COOKIE: Final = "hodei_session"
LONGEST: Final = 4096
"""Most characters of an `Authorization` header that is looked at."""

NONE: Final = "none"
MALFORMED: Final = "malformed"
UNKNOWN: Final = "unknown"
EXPIRED: Final = "expired"
ROLE: Final = "role"
REASONS: Final = (NONE, MALFORMED, UNKNOWN, EXPIRED, ROLE)
"""Why requests are refused, as labels of metrics."""


class Tokens(Protocol):
    """The tokens that a process knows."""

    @property
    def complete(self) -> bool:
        """Whether a token that is not found can be refused: False until the whole list was read once."""
        ...

    def find(self, text: str) -> Principal | None:
        """The principal of a token's text; None for one that does not exist or was revoked. Never waits."""
        ...


class NoPrincipal(Exception):
    """The request acts for no one. `why` is the first half of a sentence, `reason` a label of metrics."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


class Guard:
    """Checks each request. `roles` says which role a route needs, by method and path; None is for every request, and a
    route that is not in it needs the role `viewer`. `proxies` may name the client. A request to one of `of_sessions`
    may have a session's cookie in place of a token; its handler then finds the principal. Without `tokens`, access is
    off: every request may do all."""

    def __init__(
        self,
        *,
        roles: Mapping[tuple[str, str], Role | None],
        tokens: Tokens | None = None,
        proxies: Proxies | None = None,
        of_sessions: Collection[tuple[str, str]] = (),
        metrics: Metrics | None = None,
    ) -> None:
        self._roles = {**roles, **{("HEAD", path): role for (method, path), role in roles.items() if method == "GET"}}
        self._tokens = tokens
        self._of_sessions = frozenset(of_sessions)
        self._proxies = proxies or Proxies("")
        self._wrong = WrongTokens(metrics := metrics or Metrics())
        refused = metrics.counter(
            "access_refused_requests_total",
            "Requests that were refused: none, a malformed, an unknown or an expired token, or its role is too low.",
            ["reason"],
        )
        self._refused = {reason: refused.labels(reason) for reason in REASONS}

    @property
    def on(self) -> bool:
        """Whether requests need a token."""
        return self._tokens is not None

    def admit(self, request: web.Request, route: str) -> None:
        """Note the request as the current `Call`, and check it. Raises Unauthorized without a principal, RoleNeeded
        when its role does not include the route's."""
        if self._tokens is None:
            return
        which = request.method, route
        role = self._roles.get(which, Role.VIEWER)
        if role is None:
            CALL.set(None)
            return
        if which in self._of_sessions and _has_only_a_cookie(request):
            CALL.set(self.call(request, route))
            return
        try:
            principal = self.principal(request)
        except NoPrincipal as error:
            CALL.set(self.call(request, route))
            self._refused[error.reason].inc()
            raise Unauthorized(error.why, role, wrong=error.reason in (MALFORMED, UNKNOWN)) from None
        assert principal is not None  # access is on
        CALL.set(self.call(request, route, principal))
        CALLER.set(principal.id)
        if not principal.role.covers(role):
            self._refused[ROLE].inc()
            raise RoleNeeded(principal.role, role)

    def still_admits(self, request: web.Request) -> bool:
        """Whether the token of a request that was admitted earlier is still valid."""
        try:
            self.principal(request)
        except (NoPrincipal, TokensUnread):
            return False
        return True

    def check_again(self, request: web.Request) -> None:
        """Check a request again that was admitted and has waited since. Raises Unauthorized if its token is not valid
        any more."""
        if not self.still_admits(request):
            raise Unauthorized("the token was revoked, or has expired, or its session ended", Role.VIEWER)

    async def slow_down(self, request: web.Request) -> None:
        """Wait before a wrong token is answered, the longer the more of them its client sent. Raises Overloaded when
        too many answers wait."""
        await self._wrong.hold(self.address(request))

    def is_secure(self, request: web.Request) -> bool:
        """Whether the client uses TLS: up to this service, or up to a trusted proxy that says so."""
        if request.secure:
            return True
        forwarded = request.headers.get("X-Forwarded-Proto", "")
        return forwarded.lower() == "https" and self._proxies.trust(request.remote or "")

    def address(self, request: web.Request) -> str:
        """The client's address."""
        address = request.remote or ""
        if not self._proxies.listed:
            return address  # without looking for a header
        return self._proxies.client(address, request.headers.getall("X-Forwarded-For", ()))

    def call(self, request: web.Request, route: str, principal: Principal | None = None) -> Call:
        """The request as a call of this principal; None is for no one."""
        address, path = self.address(request), request.rel_url.raw_path
        return Call(principal, address, request_id(request), request.method, route, path)

    def principal(self, request: web.Request) -> Principal | None:
        """Who the request acts for; None with access off. Raises NoPrincipal, and TokensUnread for a token that may be
        on the list that is still to be read."""
        if self._tokens is None:
            return None
        given = request.headers.get("Authorization")
        if given is None:
            raise NoPrincipal(NONE, "there is no token")
        if given[: len(SCHEME)].lower() != SCHEME or len(given) > LONGEST:
            raise NoPrincipal(MALFORMED, "the header Authorization has no bearer token")
        text = given[len(SCHEME) :].strip()
        found = self._tokens.find(text)
        if found is None:
            of_session = text.startswith(SESSION_PREFIX)
            if not of_session and not check_form(text):
                raise NoPrincipal(MALFORMED, f"the bearer token is incomplete or mistyped: it should be {PREFIX}…")
            if not self._tokens.complete:
                raise TokensUnread
            if of_session:
                raise NoPrincipal(UNKNOWN, "the session has ended, or its token was revoked")
            raise NoPrincipal(UNKNOWN, "the token does not exist or was revoked")
        if found.expires_at is not None and has_expired(found, now()):  # few expire: the others need no clock
            raise NoPrincipal(EXPIRED, "the token has expired")
        return found


GUARD: Final = web.AppKey("guard", Guard)


def _has_only_a_cookie(request: web.Request) -> bool:
    return "Authorization" not in request.headers and SESSION_COOKIE in request.cookies


def has_expired(principal: Principal, moment: datetime) -> bool:
    """Whether a principal is refused at this moment because of its age."""
    return principal.expires_at is not None and principal.expires_at <= moment
