"""Transactions: running statements in one, its beginning and end, and retries after a deadlock."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
import structlog

from schemas.events import EventData
from shared.errors import TooSlow
from shared.postgres.connection import PROOF_DEADLINE, Connection, Record, answers
from shared.postgres.errors import TAKES_NOTHING, Deadlock, is_away, raise_if_away

Block = asyncpg.transaction.Transaction

_T = TypeVar("_T")
Tx = TypeVar("Tx", bound="Transaction")
_log = structlog.get_logger(__name__)


class Transaction:
    """The statements of one transaction. Usable only inside the `async with` that made it.

    `block`, if given, begins with the first statement: a transaction without statements costs no round trip.
    """

    def __init__(self, connection: Connection, block: Block | None = None) -> None:
        self._connection = connection
        self._unbegun = block
        self.open = False
        """Whether BEGIN was sent, so that a COMMIT or ROLLBACK must follow."""

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """Run a statement and return all its rows."""
        try:
            await self._begin()
            return await self._connection.fetch(query, *args)
        except Exception as error:
            await self._explain(error)
            raise

    async def fetch_one(self, query: str, *args: object) -> Record | None:
        """Run a statement and return its first row, or None."""
        try:
            await self._begin()
            return await self._connection.fetchrow(query, *args)
        except Exception as error:
            await self._explain(error)
            raise

    async def ask(self, query: str, *args: object) -> list[Record]:
        """As `fetch`, for a query of data that never changes: it does not begin the transaction."""
        try:
            return await self._connection.fetch(query, *args)
        except Exception as error:
            await self._explain(error)
            raise

    async def fetch_last(self, query: str, *args: object) -> Record | None:
        """As `fetch_one`, for the last statement. If it is also the first, no BEGIN and COMMIT are sent."""
        self._unbegun = None
        return await self.fetch_one(query, *args)

    async def fetch_value(self, query: str, *args: object) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        try:
            await self._begin()
            return await self._connection.fetchval(query, *args)
        except Exception as error:
            await self._explain(error)
            raise

    async def execute(self, query: str, *args: object) -> int:
        """Run a statement. Returns the number of affected rows (0 for a statement that reports none)."""
        try:
            await self._begin()
            status = await self._connection.execute(query, *args)
        except Exception as error:
            await self._explain(error)
            raise
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def emit(self, *events: EventData) -> None:
        """Publish events once the transaction is committed. Raises RuntimeError: only an outbox's transaction can."""
        said = ", ".join(type(event).__name__ for event in events)
        raise RuntimeError(f"{said} in a transaction without events: begin it with Outbox.transaction()")

    async def _explain(self, error: Exception) -> None:
        """Raise Unavailable or TooSlow if an error means that; return for every other error."""
        # The server cancels a statement at its statement_timeout, or on request of an administrator.
        slow = isinstance(error, asyncpg.QueryCanceledError)
        if slow or (isinstance(error, TimeoutError) and await answers(self._connection)):
            raise TooSlow("database") from error
        if isinstance(error, TAKES_NOTHING):
            self._connection.refused()
        raise_if_away(error)

    async def _begin(self) -> None:
        if self._unbegun is not None:
            block, self._unbegun = self._unbegun, None
            await block.start()
            self.open = True


class Session(Transaction):
    """A connection outside the pool, for locks that are held longer than a transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.lost = asyncio.Event()
        """Set as soon as the connection is lost for any reason."""
        connection.add_termination_listener(lambda _connection: self.lost.set())

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on this connection."""
        return _SessionTransaction(self._connection)


class Connections(Protocol):
    """The pool that lends a transaction its connection."""

    async def acquire(self) -> Connection: ...
    async def release(self, connection: Connection) -> None: ...


class _SessionTransaction:
    """A transaction on the connection of a session, which outlives it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._block = connection.transaction()

    async def __aenter__(self) -> Transaction:
        await _begin(self._block)
        return Transaction(self._connection)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _end(self._block, error)


class PoolTransaction(Generic[Tx]):
    """A transaction on a connection of the pool, which is released at its end."""

    def __init__(self, connections: Connections, kind: Callable[[Connection, Block], Tx]) -> None:
        self._connections = connections
        self._kind = kind
        self._connection: Connection
        self._block: Block
        self._transaction: Tx

    async def __aenter__(self) -> Tx:
        self._connection = await self._connections.acquire()
        self._block = self._connection.transaction()
        self._transaction = self._kind(self._connection, self._block)
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._transaction.open:
                await _end(self._block, error)
        finally:
            await self._connections.release(self._connection)


async def _begin(block: Block) -> None:
    try:
        await block.start()
    except Exception as error:
        raise_if_away(error)
        raise


async def _end(block: Block, error: BaseException | None) -> None:
    """Commit, or roll back because of `error`."""
    try:
        if error is None:
            await block.commit()
        else:
            async with asyncio.timeout(PROOF_DEADLINE):
                await block.rollback()
    except Exception as failure:
        if error is None or not is_away(failure):
            raise_if_away(failure)
            raise
        # The server has rolled back by itself; the error that led to the rollback matters more.
        _log.info("database.lost_while_rolling_back", error=str(failure))


async def retry_deadlock(attempt: Callable[[], Awaitable[_T]], *, attempts: int = 3) -> _T:
    """Run a whole transaction again when PostgreSQL ended it to break a deadlock. Raises the last attempt's error."""
    for _ in range(attempts - 1):
        try:
            return await attempt()
        except Deadlock:
            _log.info("database.deadlock_retried")
    return await attempt()
