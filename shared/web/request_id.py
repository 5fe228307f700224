"""The id that ties a request, its answer, its log lines and a user's question together.

Here: taking it from `X-Request-ID` or making it, once per request. It is not a secret, and need not be unique.
"""

import re
import secrets
from typing import Final

from aiohttp import web

HEADER: Final = "X-Request-ID"

_SANE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_KEY: Final = web.RequestKey("request_id", str)


def request_id(request: web.BaseRequest) -> str:
    """The request's id: the client's own if it is 1 to 128 printable ASCII characters, else a new one."""
    known = request.get(_KEY)
    if known is None:
        given = request.headers.get(HEADER)
        known = given if given is not None and _SANE.fullmatch(given) else secrets.token_hex(16)
        request[_KEY] = known
    return known
