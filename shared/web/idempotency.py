"""`Idempotency-Key` (IETF draft "The Idempotency-Key HTTP Header Field"): creating once, however often one asks.

Here: `idempotent`, the transaction of a creating route, which claims the key, and keeps the answer with what it
tells; what becomes of a key afterwards (`release`, `release_created`, `replace_answer`, `purge`). Nothing can come
between: a key is used exactly when its transaction is committed. No other module touches the table of keys. Not here:
how a replay is sent (`responses`).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel

from shared.errors import Conflict, FieldError, HodeiError, Invalid, Unavailable
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import Block, Broken, Connection, Database, Runner, Transaction, load_queries
from shared.web.api import IDEMPOTENCY_KEY
from shared.web.bodies import whole_body
from shared.web.responses import Replay, json_response

LIFETIME: Final = timedelta(hours=24)

_MAX_KEY: Final = 255
_LOC: Final = ("header", IDEMPOTENCY_KEY)


class IdempotentTransaction(OutboxTransaction):
    """An outbox transaction that also keeps its request's answer."""

    def __init__(self, connection: Connection, block: Block) -> None:
        super().__init__(connection, block)
        self.answered: web.Response | None = None

    def answer(
        self,
        status: int,
        body: bytes | str | BaseModel | Sequence[BaseModel],
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Make the response; where the request has a key, it is kept in this transaction."""
        self.answered = json_response(body, status=status, headers=headers)
        return self.answered

    def kept_answer(self, route: str) -> tuple[int, dict[str, str], object]:
        """Status, headers and body, to be kept. Raises RuntimeError when there is none."""
        if self.answered is None:
            raise RuntimeError(f"{route} did not use tx.answer, so its answer cannot be kept")
        headers = {str(name): value for name, value in self.answered.headers.items() if name != "Content-Length"}
        return self.answered.status, headers, self.answered.body or b""


@asynccontextmanager
async def idempotent(
    request: web.Request, outbox: Outbox, *, claim: Literal["first", "last"] = "first"
) -> AsyncIterator[IdempotentTransaction]:
    """The transaction of a route that creates.

        async with idempotent(request, outbox) as tx:
            job = await store.insert_job(tx, body)
            response = tx.answer(201, job, {"Location": f"/api/v1/jobs/{job.id}"})
        return response

    Return the response after the block: only then is it true. Without the header this is the outbox's transaction
    and nothing else. With it, the block's work is done once per key; a second request waits for a first that is under
    way. Where the block leaves no trace but in its transaction, the key may be claimed `last`, which saves round trips:
    the block then runs for a repeated request too, in vain.

    Raises Replay for a request answered before, Invalid for a key that is malformed or came with another body.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        async with outbox.transaction(IdempotentTransaction) as transaction:
            yield transaction
        return
    if not 0 < len(key) <= _MAX_KEY or not (key.isascii() and key.isprintable()):
        raise Invalid([FieldError(_LOC, f"must be 1 to {_MAX_KEY} printable ASCII characters", "key")])
    sql = load_queries("shared.web")
    route = _route(request)
    digest = hashlib.sha256(await whole_body(request)).digest()
    find = partial(_answer_before, query=sql["find_idempotency_answer"], route=route, key=key, digest=digest)
    if claim == "last":
        try:
            async with outbox.transaction(IdempotentTransaction) as transaction:
                yield transaction
                answer = transaction.kept_answer(route)
                transaction.close_with(sql["use_idempotency_key"], route, key, digest, LIFETIME, *answer)
        except Broken:
            raise await find(outbox.database) or _under_way() from None
        except HodeiError as error:
            # What could be done then may be impossible now, and was done nevertheless.
            raise (None if isinstance(error, Unavailable) else await find(outbox.database)) or error from None
        return
    async with outbox.transaction(IdempotentTransaction) as transaction:
        if not await transaction.fetch_value(sql["claim_idempotency_key"], route, key, digest, LIFETIME):
            raise await find(transaction) or _under_way()
        yield transaction
        await transaction.execute(sql["store_idempotency_answer"], route, key, *transaction.kept_answer(route))


async def release(on: Runner, request: web.Request) -> None:
    """Let the request's key, if it has one, be used again: what the request created is taken back in the same
    transaction."""
    if key := request.headers.get(IDEMPOTENCY_KEY):
        await on.execute(load_queries("shared.web")["release_idempotency_key"], _route(request), key)


async def release_created(on: Runner, route: str, location: str) -> None:
    """As `release`, long after the request: by its `route` ("POST /api/v1/workers") and its answer's Location."""
    await on.execute(load_queries("shared.web")["release_key_of_created"], route, location)


async def replace_answer(on: Runner, route: str, location: str, body: str) -> None:
    """A repeated request is from now on answered with this body. The request is found as in `release_created`."""
    await on.execute(load_queries("shared.web")["replace_idempotency_answer"], route, location, body.encode())


async def purge(database: Database, limit: int) -> int:
    """Forget expired keys, so many at most; returns how many. Expired ones count as unused even before."""
    return await database.execute(load_queries("shared.web")["purge_idempotency_keys"], LIFETIME, limit)


async def _answer_before(
    on: Transaction | Database, *, query: str, route: str, key: str, digest: bytes
) -> HodeiError | None:
    """What to raise for a key that was used before; None where no request is known to have used it."""
    found = await on.fetch_one(query, route, key)
    if found is None or found["status"] is None:
        return None
    if found["request_hash"] != digest:
        return Invalid([FieldError(_LOC, "was used before, with another body", "key_reused")])
    return Replay(found["status"], found["headers"], found["body"])


def _route(request: web.Request) -> str:
    return f"{request.method} {request.path}"


def _under_way() -> HodeiError:
    """The key expired and was purged this very moment, or its owner ended without an answer."""
    return Conflict(f"another request with this {IDEMPOTENCY_KEY} is under way; try again")
