"""`Idempotency-Key` (IETF draft "The Idempotency-Key HTTP Header Field"): creating once, however often one asks.

Here: `idempotent`, the transaction of a creating route, which claims the key, and keeps the answer with what it
tells; and `purge`, which forgets old keys. Nothing can come between: a key is used exactly when its transaction is
committed. Not here: how a replay is sent (`responses`).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from shared import queries
from shared.database import Database, Transaction
from shared.errors import Conflict, FieldError, HodeiError, Invalid
from shared.outbox import Outbox, OutboxTransaction
from shared.web.api import IDEMPOTENCY_KEY
from shared.web.responses import Replay, json_response

LIFETIME: Final = timedelta(hours=24)

_PURGE_LIMIT: Final = 1000
_MAX_KEY: Final = 255
_LOC: Final = ("header", IDEMPOTENCY_KEY)


class IdempotentTransaction(OutboxTransaction):
    """An outbox transaction that also keeps its request's answer."""

    def __init__(self, inner: OutboxTransaction) -> None:
        super().__init__(inner._connection)
        # One of each for both: the outer one writes them.
        self.emitted, self.traced, self.committed = inner.emitted, inner.traced, inner.committed
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


@asynccontextmanager
async def idempotent(request: web.Request, outbox: Outbox) -> AsyncIterator[IdempotentTransaction]:
    """The transaction of a route that creates.

        async with idempotent(request, outbox) as tx:
            job = await store.insert_job(tx, body)
            response = tx.answer(201, job, {"Location": f"/api/v1/jobs/{job.id}"})
        return response

    Return the response after the block: only then is it true. Without the header this is the outbox's transaction
    and nothing else. With it, the block runs once per key; a second request waits for a first that is under way.
    Raises Replay for a request answered before, Invalid for a key that is malformed or came with another body.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        async with outbox.transaction() as inner:
            yield IdempotentTransaction(inner)
        return
    if not 0 < len(key) <= _MAX_KEY or not (key.isascii() and key.isprintable()):
        raise Invalid([FieldError(_LOC, f"must be 1 to {_MAX_KEY} printable ASCII characters", "key")])
    sql = queries.load("shared.web")
    route = f"{request.method} {request.path}"
    digest = hashlib.sha256(await request.read()).digest()
    async with outbox.transaction() as inner:
        if not await inner.fetch_value(sql["claim_idempotency_key"], route, key, digest, LIFETIME):
            raise await _replay(inner, sql["find_idempotency_answer"], route, key, digest)
        transaction = IdempotentTransaction(inner)
        yield transaction
        answered = transaction.answered
        if answered is None:
            raise RuntimeError(f"{route} did not use tx.answer, so its answer cannot be kept")
        headers = {str(name): value for name, value in answered.headers.items() if name != "Content-Length"}
        await inner.execute(sql["store_idempotency_answer"], route, key, answered.status, headers, answered.body or b"")


async def purge(database: Database) -> int:
    """Forget expired keys, some at a time; returns how many. Expired ones count as unused even before."""
    sql = queries.load("shared.web")
    return await database.execute(sql["purge_idempotency_keys"], LIFETIME, _PURGE_LIMIT)


async def _replay(transaction: Transaction, query: str, route: str, key: str, digest: bytes) -> HodeiError:
    found = await transaction.fetch_one(query, route, key)
    if found is None or found["status"] is None:
        # The key expired and was purged this very moment, or its owner ended without an answer.
        return Conflict(f"another request with this {IDEMPOTENCY_KEY} is under way; try again")
    if found["request_hash"] != digest:
        return Invalid([FieldError(_LOC, "was used before, with another body", "key_reused")])
    return Replay(found["status"], found["headers"], found["body"])
