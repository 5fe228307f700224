"""Measures the check of a token: `make bench-access`. A check should take less than LIMIT, which a request pays once.

Measured is `Guard.admit`: reading the header, finding the token among 10,000, its expiry, its role, and noting the
call. Refusals are measured too, without the time for which they are slowed down. Exits 1 beyond the limit.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from schemas.access import SECRET_BYTES, Role, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens
from shared.errors import HodeiError
from shared.web.guard import Guard

LIMIT: Final = 20.0
"""Microseconds."""
TOKENS: Final = 10_000
REQUESTS: Final = 1_000
ROUNDS: Final = 5
ROUTE: Final = "/api/v1/jobs"


class Connection(asyncio.Transport):
    """A connection that names its client, as fast as a real one."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 50000) if name == "peername" else default


def requests_with(headers: dict[str, str]) -> list[web.Request]:
    """Requests of which none was looked at yet: a request remembers its id and its URL."""
    first = make_mocked_request("POST", ROUTE, headers=headers, transport=Connection())
    return [first.clone() for _ in range(REQUESTS)]


def microseconds(check: Callable[[web.Request], None], headers: dict[str, str]) -> float:
    """The time of one check: the best of some rounds, as other processes only make it longer."""
    best = float("inf")
    for _ in range(ROUNDS):
        requests = requests_with(headers)
        structlog.contextvars.clear_contextvars()
        began = time.perf_counter()
        for request in requests:
            check(request)
        best = min(best, (time.perf_counter() - began) / REQUESTS)
    return best * 1e6


def main() -> int:
    """Measure, print a table, and return the exit code."""
    known = KnownTokens()
    texts = [token_of(secrets.token_bytes(SECRET_BYTES)) for _ in range(TOKENS)]
    expires = datetime.now(UTC) + timedelta(days=1)
    for number, text in enumerate(texts):
        known.put(hash_of(text), Principal(f"id-{number}", "ci", Role.SUBMITTER, expires))
    roles: dict[tuple[str, str], Role | None] = {("POST", ROUTE): Role.SUBMITTER}
    on, off = Guard(roles=roles, tokens=known), Guard(roles=roles)

    def refused(request: web.Request) -> None:
        with suppress(HodeiError):
            on.admit(request, ROUTE)

    valid = {"Authorization": f"Bearer {texts[TOKENS // 2]}"}
    unknown = {"Authorization": f"Bearer {token_of(secrets.token_bytes(SECRET_BYTES))}"}
    checked = microseconds(lambda request: on.admit(request, ROUTE), valid)
    print(f"microseconds per request, {TOKENS:,} tokens known")
    print(f"  access off         {microseconds(lambda request: off.admit(request, ROUTE), {}):6.2f}")
    print(f"  a valid token      {checked:6.2f}  (limit {LIMIT:g})")
    print(f"  an unknown token   {microseconds(refused, unknown):6.2f}")
    print(f"  no token           {microseconds(refused, {}):6.2f}")
    return 0 if checked < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
