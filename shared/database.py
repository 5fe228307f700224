"""PostgreSQL: one pool per process, transactions, and sessions outside the pool. The only importer of asyncpg.

Everything runs in the service's own schema (`search_path`). `json` and `jsonb` columns take and give Python
objects; a hot read selects `…::text` and passes it on unparsed. A lost or silent server is
`Unavailable("database")`; every other error of PostgreSQL arrives as it is (`UniqueViolation`, `Deadlock`, …).
Which statements there are is the stores' business (`shared.queries`), which tables `shared.migrations`'.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg
import orjson
import structlog

from schemas.events import EventData
from shared.errors import ConfigError, Unavailable

Record = asyncpg.Record
UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError
Deadlock = asyncpg.DeadlockDetectedError
LockTimeout = asyncpg.LockNotAvailableError

ACQUIRE_DEADLINE: Final = 5.0
STATEMENT_DEADLINE: Final = 30.0
CONNECT_DEADLINE: Final = 5.0

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

_AWAY: Final = (
    OSError,  # TimeoutError, ConnectionError, a missing socket
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
)
_CLOSED_WORDS: Final = ("is closed", "is closing", "been closed", "been released", "not initialized")
_HOPELESS: Final = (
    ValueError,  # the address cannot be parsed
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,  # includes a wrong password
    asyncpg.InvalidCatalogNameError,
)


class Transaction:
    """The statements of one transaction. Usable only inside the `async with` that made it."""

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """Run a statement and return all its rows."""
        try:
            return await self._connection.fetch(query, *args)
        except Exception as error:
            raise _translated(error) from error

    async def fetch_one(self, query: str, *args: object) -> Record | None:
        """Run a statement and return its first row, or None."""
        try:
            return await self._connection.fetchrow(query, *args)
        except Exception as error:
            raise _translated(error) from error

    async def fetch_value(self, query: str, *args: object) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        try:
            return await self._connection.fetchval(query, *args)
        except Exception as error:
            raise _translated(error) from error

    async def execute(self, query: str, *args: object) -> int:
        """Run a statement and return how many rows it touched (0 for one that touches none by nature)."""
        try:
            status = await self._connection.execute(query, *args)
        except Exception as error:
            raise _translated(error) from error
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def emit(self, *events: EventData) -> None:
        """Say that something happened, once this transaction is committed. Only an outbox's transaction can."""
        said = ", ".join(type(event).__name__ for event in events)
        raise RuntimeError(f"{said} in a transaction without events: begin it with Outbox.transaction()")


class Session(Transaction):
    """One connection of its own, outside the pool: for locks held longer than a transaction."""

    def __init__(self, connection: "_Connection") -> None:
        super().__init__(connection)
        self.lost = asyncio.Event()
        """Set as soon as the connection is gone, for whatever reason."""
        connection.add_termination_listener(lambda _connection: self.lost.set())

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on this connection."""
        return _transaction(self._connection)


class Database:
    """A pool of connections to one schema. Every call without a transaction is a transaction of its own."""

    name = "database"

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        name: str,
        min_size: int = 2,
        max_size: int = 8,
        start_deadline: float = 30.0,
    ) -> None:
        self.schema = schema
        self._dsn = dsn
        self._sizes = (min_size, max_size)
        self._start_deadline = start_deadline
        self._server_settings = {
            "search_path": schema,
            "application_name": name,
            "timezone": "UTC",
            # A process that hangs inside a transaction must not hold its locks for ever.
            "idle_in_transaction_session_timeout": "60s",
        }
        self._pool: asyncpg.Pool[Record] | None = None

    async def start(self) -> None:
        """Connect, trying again until the start deadline. Raises Unavailable, or ConfigError where waiting is vain."""
        give_up = time.monotonic() + self._start_deadline
        pause = 0.05
        while True:
            try:
                self._pool = await self._create_pool()
                return
            except _HOPELESS as error:
                raise ConfigError(f"DATABASE_URL: {str(error).strip() or type(error).__name__}") from error
            except Exception as error:
                reason = _translated(error)
                if not isinstance(reason, Unavailable):
                    raise
                if time.monotonic() + pause > give_up:
                    address = urlsplit(self._dsn)
                    raise Unavailable(f"database at {address.hostname}:{address.port or 5432}") from error
                _log.info("database.waiting", error=str(error) or type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def stop(self) -> None:
        """Close the pool, after what is under way; connections still in use after a while are cut."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CONNECT_DEADLINE)
        except TimeoutError:
            _log.warning("database.connections_cut")
            pool.terminate()

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """As `Transaction.fetch`, in a transaction of its own."""
        async with self._connection() as connection:
            return await Transaction(connection).fetch(query, *args)

    async def fetch_one(self, query: str, *args: object) -> Record | None:
        """As `Transaction.fetch_one`, in a transaction of its own."""
        async with self._connection() as connection:
            return await Transaction(connection).fetch_one(query, *args)

    async def fetch_value(self, query: str, *args: object) -> Any:
        """As `Transaction.fetch_value`, in a transaction of its own."""
        async with self._connection() as connection:
            return await Transaction(connection).fetch_value(query, *args)

    async def execute(self, query: str, *args: object) -> int:
        """As `Transaction.execute`, in a transaction of its own."""
        async with self._connection() as connection:
            return await Transaction(connection).execute(query, *args)

    @asynccontextmanager
    async def transaction(
        self, kind: Callable[["_Connection"], Transaction] = Transaction
    ) -> AsyncIterator[Transaction]:
        """A transaction without events: committed at the end of the block, rolled back by an exception."""
        async with self._connection() as connection, _transaction(connection, kind) as transaction:
            yield transaction

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection of its own. Its server side notices a dead peer within seconds and lets its locks go."""
        keepalive = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_DEADLINE,
                command_timeout=STATEMENT_DEADLINE,
                server_settings={**self._server_settings, **keepalive},
                connection_class=_Connection,
            )
        except Exception as error:
            raise _translated(error) from error
        try:
            yield Session(connection)
        finally:
            # Closing says goodbye; where that is not answered, the socket alone is closed.
            try:
                await connection.close(timeout=1.0)
            except Exception as error:
                if not isinstance(_translated(error), Unavailable):
                    raise
                connection.terminate()

    async def healthy(self) -> bool:
        """Tell whether the server answers, within two seconds."""
        try:
            async with asyncio.timeout(2.0):
                return bool(await self.fetch_value("select true"))
        except (Unavailable, TimeoutError):
            return False

    async def _create_pool(self) -> "asyncpg.Pool[Record]":
        low, high = self._sizes
        return await asyncpg.create_pool(
            self._dsn,
            min_size=low,
            max_size=high,
            timeout=CONNECT_DEADLINE,
            command_timeout=STATEMENT_DEADLINE,
            max_inactive_connection_lifetime=0,
            max_queries=1_000_000,
            statement_cache_size=500,
            max_cached_statement_lifetime=0,
            server_settings=self._server_settings,
            connection_class=_Connection,
            init=_teach_json,
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["_Connection"]:
        pool = self._pool
        if pool is None:
            raise Unavailable("database")
        try:
            connection = await pool.acquire(timeout=ACQUIRE_DEADLINE)
        except Exception as error:
            raise _translated(error) from error
        try:
            # A stand-in with the connection's own methods, bound to this one use of it.
            yield cast(_Connection, connection)
        finally:
            await pool.release(connection)


if TYPE_CHECKING:
    _AsyncpgConnection = asyncpg.Connection[Record]
else:  # generic in its stubs only
    _AsyncpgConnection = asyncpg.Connection


class _Connection(_AsyncpgConnection):
    """A connection without the round trip that resets it after every use: nothing here alters a session."""

    def get_reset_query(self) -> str:
        return ""


@asynccontextmanager
async def _transaction(
    connection: _Connection, kind: Callable[[_Connection], Transaction] = Transaction
) -> AsyncIterator[Transaction]:
    block = connection.transaction()
    try:
        await block.start()
    except Exception as error:
        raise _translated(error) from error
    try:
        yield kind(connection)
    except BaseException:
        # A connection that is gone has rolled back already; the error that brought us here matters more.
        if not connection.is_closed():
            try:
                await block.rollback()
            except Exception as error:
                if not isinstance(_translated(error), Unavailable):
                    raise
                _log.info("database.lost_while_rolling_back", error=str(error))
        raise
    try:
        await block.commit()
    except Exception as error:
        raise _translated(error) from error


async def retry_deadlock(attempt: Callable[[], Awaitable[_T]], *, attempts: int = 3) -> _T:
    """Run a whole transaction again when PostgreSQL chose it to break a deadlock; the last one's error is raised."""
    for _ in range(attempts - 1):
        try:
            return await attempt()
        except Deadlock:
            _log.info("database.deadlock_retried")
    return await attempt()


def _translated(error: Exception) -> Exception:
    """`Unavailable` for an error that says the server is away; the error itself for every other."""
    if isinstance(error, _AWAY):
        return Unavailable("database")
    if isinstance(error, asyncpg.InterfaceError) and any(word in str(error) for word in _CLOSED_WORDS):
        return Unavailable("database")
    return error


async def _teach_json(connection: "asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]") -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=orjson.dumps, decoder=orjson.loads, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)  # jsonb's wire form: a version byte, then the text


def _decode_jsonb(wire: bytes) -> object:
    return orjson.loads(wire[1:])
