"""/api/v1/whoami: who the request acts for. Every service has this route, so that a token can be tried on each."""

from aiohttp import web

from schemas.rest.access import WhoAmI
from shared.access import calling
from shared.web.api import Api
from shared.web.responses import json_response


async def whoami(_request: web.Request) -> web.StreamResponse:
    """With access off, `access` is `off`, and the other fields are null."""
    call = calling()
    who = None if call is None else call.principal
    if who is None:
        return json_response(WhoAmI(access="off", id=None, name=None, role=None, expires_at=None))
    return json_response(WhoAmI(access="on", id=who.id, name=who.name, role=who.role, expires_at=who.expires_at))


def api() -> Api:
    """The route."""
    api = Api(tag="access", description="Tokens: who may do what.")
    api.get("/api/v1/whoami", summary="Show who the request acts for", answers={200: WhoAmI})(whoami)
    return api
