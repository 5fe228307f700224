"""`Idempotency-Key` (IETF draft "The Idempotency-Key HTTP Header Field"): a repeated request creates nothing twice.

Here: `idempotent`, the transaction of a creating route, which claims the key and stores the response; and the later
changes to a key (`release`, `release_created`, `replace_answer`, `purge`). A key is used exactly if its transaction is
committed. While access is on, each token has keys of its own. No other module touches the table of keys. Not here: how
a replay is sent (`responses`).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel

from shared.access import actor
from shared.errors import Conflict, FieldError, HodeiError, Invalid, Unavailable
from shared.outbox import Outbox, OutboxTransaction
from shared.packing import Packing
from shared.postgres import Block, Broken, Connection, Database, Runner, Transaction, load_queries
from shared.web.api import IDEMPOTENCY_KEY
from shared.web.bodies import whole_body
from shared.web.responses import Replay, json_response

LIFETIME: Final = timedelta(hours=24)
"""For how long a key is known, unless the application says otherwise."""
KEYS_KEPT: Final = web.AppKey[timedelta | None]("keys_kept")
"""For how long an application knows keys; None for ever."""
PACKED_LIMIT: Final = 16 << 10
"""Most bytes of a body that is packed. Larger ones, those of batches, PostgreSQL compresses by itself."""
DICTIONARIES: Final = (
    b'{"errors":[{"type":"started_at":"2026-11-30T10:00:00.","finished_at":"provider":"process","slots":8,"pid":'
    b'"run_at":"2026-","next_run_at":"2026-""last_run_at":null,"last_job_id":null,"last_error":null,"cron":null,"timezone"'
    b':"UTC"{"id":"","name":"","status":"pending","reason":null,"detail":null,"pipeline_id":null,"pipeline_version":null,'
    b'"priority":"normal","params":{},"labels":{},"run_at":null,"rerun_of":null,"schedule_id":null,"concurrency_key":null'
    b',"concurrency":null,"waiting_for":null,"created_at":"2026-12-01T10:00:00.000000Z","started_at":null,"finished_at":'
    b'null,"env":{},"timeout":null,"cleanup_timeout":60.0,"tasks":[{"id":"01a2","name":"","status":"queued","reason":null'
    b',"detail":null,"attempt":1,"depends_on":[],"when":"on_success","if":null,"matrix":null,"index":null,"max_parallel":'
    b'null,"fail_fast":true,"expressions":false,"allow_failure":false,"command":["/bin/sh","-c",""],"type":"shell"exec",'
    b'"approval":null,"decision":null,"env":{},"working_dir":null,"timeout":null,"queue_timeout":null,"retry":null,'
    b'"retry_on_lost":true,"max_crashes":3,"requires":{},"resources":null,"labels":{},"exit_code":null,"outputs":{},'
    b'"queued_at":"2026-11-30T10:00:00.000000Z","started_at":null,"finished_at":null,"executions":[]}]}',
)
"""What responses that create have in common, which for the most part are jobs (`shared.packing`)."""

_PACKING: Final = Packing(DICTIONARIES)
_MAX_KEY: Final = 255
_LOC: Final = ("header", IDEMPOTENCY_KEY)


class IdempotentTransaction(OutboxTransaction):
    """An outbox transaction that also stores the response to its request."""

    def __init__(self, connection: Connection, block: Block) -> None:
        super().__init__(connection, block)
        self.answered: web.Response | None = None
        self._kept: web.Response | None = None

    def answer(
        self,
        status: int,
        body: bytes | str | BaseModel | Sequence[BaseModel],
        headers: Mapping[str, str] | None = None,
        *,
        kept: BaseModel | None = None,
    ) -> web.Response:
        """Make the response. If the request has a key, this transaction stores the response; `kept` is stored in place
        of a body with a secret."""
        self.answered = json_response(body, status=status, headers=headers)
        self._kept = None if kept is None else json_response(kept, status=status, headers=headers)
        return self.answered

    def kept_answer(self, route: str) -> tuple[int, dict[str, str], object, bytes | None]:
        """The status and headers to store, and the body, as it is or packed. Raises RuntimeError when the handler made
        no response."""
        if self.answered is None:
            raise RuntimeError(f"{route} did not use tx.answer, so its response cannot be stored")
        response = self._kept or self.answered
        headers = {str(name): value for name, value in response.headers.items() if name != "Content-Length"}
        body = response.body or b""
        if isinstance(body, bytes) and len(body) <= PACKED_LIMIT:
            return response.status, headers, None, _PACKING.pack(body)
        return response.status, headers, body, None


@asynccontextmanager
async def idempotent(
    request: web.Request, outbox: Outbox, *, claim: Literal["first", "last"] = "first"
) -> AsyncIterator[IdempotentTransaction]:
    """The transaction of a route that creates.

        async with idempotent(request, outbox) as tx:
            job = await store.insert_job(tx, body)
            response = tx.answer(201, job, {"Location": f"/api/v1/jobs/{job.id}"})
        return response

    Return the response after the block, as the commit may fail. Without the header this is just the outbox's
    transaction. With it, the block runs once per key; a second request waits while the first is in progress. If the
    block has no effects outside its transaction, the key may be claimed `last`, which saves round trips: the block then
    runs for a repeated request too, and is rolled back.

    Raises Replay for a repeated request, Invalid for a key that is malformed or was used with another body.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        async with outbox.transaction(IdempotentTransaction) as transaction:
            yield transaction
        return
    if not 0 < len(key) <= _MAX_KEY or not (key.isascii() and key.isprintable()):
        raise Invalid([FieldError(_LOC, f"must be 1 to {_MAX_KEY} printable ASCII characters", "key")])
    key = _of_caller(key)
    sql = load_queries("shared.web")
    route = _route(request)
    lifetime = request.app.get(KEYS_KEPT, LIFETIME)
    digest = hashlib.sha256(await whole_body(request)).digest()
    find = partial(_answer_before, query=sql["find_idempotency_answer"], route=route, key=key, digest=digest)
    if claim == "last":
        try:
            async with outbox.transaction(IdempotentTransaction) as transaction:
                yield transaction
                answer = transaction.kept_answer(route)
                transaction.close_with(sql["use_idempotency_key"], route, key, digest, lifetime, *answer)
        except Broken:
            raise await find(outbox.database) or _under_way() from None
        except HodeiError as error:
            # The block may fail only because the first request succeeded: then replay that response.
            raise (None if isinstance(error, Unavailable) else await find(outbox.database)) or error from None
        return
    async with outbox.transaction(IdempotentTransaction) as transaction:
        if not await transaction.fetch_value(sql["claim_idempotency_key"], route, key, digest, lifetime):
            raise await find(transaction) or _under_way()
        yield transaction
        await transaction.execute(sql["store_idempotency_answer"], route, key, *transaction.kept_answer(route))


async def release(on: Runner, request: web.Request) -> None:
    """Make the request's key, if it has one, unused again. The caller undoes the creation in the same transaction."""
    if key := request.headers.get(IDEMPOTENCY_KEY):
        await on.execute(load_queries("shared.web")["release_idempotency_key"], _route(request), _of_caller(key))


async def release_created(on: Runner, route: str, location: str) -> None:
    """As `release`, long after the request: by its `route` ("POST /api/v1/workers") and its response's Location."""
    await on.execute(load_queries("shared.web")["release_key_of_created"], route, location)


async def replace_answer(on: Runner, route: str, location: str, body: str) -> None:
    """Replace the body of a stored response. The request is found as in `release_created`."""
    packed = _PACKING.pack(body)
    await on.execute(load_queries("shared.web")["replace_idempotency_answer"], route, location, packed)


async def purge(database: Database, limit: int, *, lifetime: timedelta | None = LIFETIME) -> int:
    """Delete at most `limit` expired keys. Returns the number deleted. Expired keys count as unused even before."""
    return await database.execute(load_queries("shared.web")["purge_idempotency_keys"], lifetime, limit)


async def _answer_before(
    on: Transaction | Database, *, query: str, route: str, key: str, digest: bytes
) -> HodeiError | None:
    """The error to raise for a used key; None if no request has used it."""
    found = await on.fetch_one(query, route, key)
    if found is None or found["status"] is None:
        return None
    if found["request_hash"] != digest:
        return Invalid([FieldError(_LOC, "was used before with another body", "key_reused")])
    packed = found["packed_body"]
    return Replay(found["status"], found["headers"], found["body"] if packed is None else _PACKING.unpack(packed))


def _of_caller(key: str) -> str:
    """The key as it is stored: two callers may choose the same."""
    caller = actor()
    return key if caller is None else f"{caller.id} {key}"


def _route(request: web.Request) -> str:
    return f"{request.method} {request.path}"


def _under_way() -> HodeiError:
    """The error for a key that was purged this moment, or whose request ended without a response."""
    return Conflict(f"another request with this {IDEMPOTENCY_KEY} is still being handled; try again")
