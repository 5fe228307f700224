"""PostgreSQL: one pool per process, transactions, and sessions outside the pool. The only importer of asyncpg.

Everything runs in the service's own schema (`search_path`). `json` and `jsonb` columns take and give Python
objects; a hot read selects `…::text` and passes it on unparsed. A server that is lost, is silent, or takes no writes
(read-only, in recovery, its disk full, shutting down, all its connections taken, our rights withdrawn) is
`Unavailable("database")`; a statement that did not end in time on a server that answers is `TooSlow("database")`; every
other error of PostgreSQL arrives as it is (`UniqueViolation`, `Deadlock`, …).
Which statements there are is the stores' business (`queries`), which tables `migrations`'.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson
import structlog

from schemas.events import EventData
from shared.errors import ConfigError, TooSlow, Unavailable
from shared.postgres.metrics import PoolMetrics
from shared.telemetry import Metrics

Record = asyncpg.Record
UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError
Deadlock = asyncpg.DeadlockDetectedError
LockTimeout = asyncpg.LockNotAvailableError
Broken = asyncpg.SerializationError
"""What a statement took for granted (`must` in its SQL) does not hold: nothing of it was written."""

ACQUIRE_DEADLINE: Final = 5.0
STATEMENT_DEADLINE: Final = 30.0
CONNECT_DEADLINE: Final = 5.0
IDLE_IN_TRANSACTION: Final = "3s"
PROOF_DEADLINE: Final = 2.0
"""Seconds for the little that is asked of a connection after a failure; without an answer it is cut."""

_TAKES_WRITES: Final = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'"
_WRITE_SOMETHING: Final = """
create temporary table room_for_something on commit drop as
select string_agg(md5(random()::text), '') as something from generate_series(1, 2000)
"""
"""A new file with some pages: what a full disk refuses first."""

_T = TypeVar("_T")
_Tx = TypeVar("_Tx", bound="Transaction")
Block = asyncpg.transaction.Transaction
_log = structlog.get_logger(__name__)

_TAKES_NOTHING: Final = (
    asyncpg.ReadOnlySQLTransactionError,  # default_transaction_read_only, or a standby
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.PostgresSystemError,  # a file of the server's that cannot be written, or read
    asyncpg.InsufficientPrivilegeError,
)
"""The server answers, and does not take what it is told: no fault of what it was told."""
_AWAY: Final = (
    OSError,  # TimeoutError, ConnectionError, a missing socket
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,  # starting up, shutting down, in recovery
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # see OutOfStep
    asyncpg.InvalidAuthorizationSpecificationError,  # the password was changed, or the role may not log in any more
    asyncpg.InvalidCatalogNameError,  # the database is being replaced
    *_TAKES_NOTHING,
)
_CLOSED_WORDS: Final = ("is closed", "is closing", "been closed", "been released", "not initialized")
_HOPELESS: Final = (
    ValueError,  # the address cannot be parsed
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,  # includes a wrong password
    asyncpg.InvalidCatalogNameError,
)


class TakesNoWrites(Unavailable):
    """The server answers, and takes no writes (HTTP 503)."""

    def __init__(self) -> None:
        super().__init__("database")
        self.args = ("the database takes no writes at the moment",)


class OutOfStep(TooSlow):
    """The driver and the server no longer understand each other on this connection, which is mostly the end of it, but
    may be due to the statement itself: what provokes it again and again is not tried for ever (HTTP 503)."""

    def __init__(self) -> None:
        super().__init__("database")
        self.args = ("the connection to the database is out of step",)


class Transaction:
    """The statements of one transaction. Usable only inside the `async with` that made it.

    `block`, where there is one, begins with the first statement: a transaction of none costs no round trip.
    """

    def __init__(self, connection: "Connection", block: "Block | None" = None) -> None:
        self._connection = connection
        self._unbegun = block
        self.open = False
        """Whether it has begun, so that its end has to be said."""

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
        """As `fetch`, for what never changes: a transaction that has not begun does not begin with it."""
        try:
            return await self._connection.fetch(query, *args)
        except Exception as error:
            await self._explain(error)
            raise

    async def fetch_last(self, query: str, *args: object) -> Record | None:
        """As `fetch_one`, for the statement after which there is no other: it needs no BEGIN where it is alone."""
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
        """Run a statement and return how many rows it touched (0 for one that touches none by nature)."""
        try:
            await self._begin()
            status = await self._connection.execute(query, *args)
        except Exception as error:
            await self._explain(error)
            raise
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def emit(self, *events: EventData) -> None:
        """Say that something happened, once this transaction is committed. Only an outbox's transaction can."""
        said = ", ".join(type(event).__name__ for event in events)
        raise RuntimeError(f"{said} in a transaction without events: begin it with Outbox.transaction()")

    async def _explain(self, error: Exception) -> None:
        """Raise what says that the server is away, or too slow; nothing for every other error."""
        # A canceled query met a statement_timeout of the server's, or an administrator.
        slow = isinstance(error, asyncpg.QueryCanceledError)
        if slow or (isinstance(error, TimeoutError) and await _answers(self._connection)):
            raise TooSlow("database") from error
        if isinstance(error, _TAKES_NOTHING):
            self._connection.refused()
        _raise_if_away(error)

    async def _begin(self) -> None:
        if self._unbegun is not None:
            block, self._unbegun = self._unbegun, None
            await block.start()
            self.open = True


class Session(Transaction):
    """One connection of its own, outside the pool: for locks held longer than a transaction."""

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self.lost = asyncio.Event()
        """Set as soon as the connection is gone, for whatever reason."""
        connection.add_termination_listener(lambda _connection: self.lost.set())

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on this connection."""
        return _SessionTransaction(self._connection)


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
        metrics: Metrics | None = None,
    ) -> None:
        self.schema = schema
        self._dsn = dsn
        self._sizes = (min_size, max_size)
        self._use = PoolMetrics(metrics or Metrics(), limit=max_size)
        self._start_deadline = start_deadline
        self._server_settings = {
            "search_path": schema,
            "application_name": name,
            "timezone": "UTC",
            # A process that hangs inside a transaction must not hold its locks: others wait for them.
            "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
        }
        self._pool: asyncpg.Pool[Record] | None = None
        self._refused = False
        """Whether a write was refused since one was last seen to succeed."""

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
                if not _is_away(error):
                    raise
                if time.monotonic() + pause > give_up:
                    raise Unavailable(f"database at {_address(self._dsn)}") from error
                _log.info("database.waiting", error=str(error) or type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def stop(self) -> None:
        """Close the pool, after what is under way; connections still in use after a while are cut."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await pool.close()
        except TimeoutError:
            _log.warning("database.connections_cut")
            pool.terminate()

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """As `Transaction.fetch`, in a transaction of its own."""
        connection = await self.acquire()
        try:
            return await Transaction(connection).fetch(query, *args)
        finally:
            await self.release(connection)

    async def fetch_one(self, query: str, *args: object) -> Record | None:
        """As `Transaction.fetch_one`, in a transaction of its own."""
        connection = await self.acquire()
        try:
            return await Transaction(connection).fetch_one(query, *args)
        finally:
            await self.release(connection)

    async def fetch_value(self, query: str, *args: object) -> Any:
        """As `Transaction.fetch_value`, in a transaction of its own."""
        connection = await self.acquire()
        try:
            return await Transaction(connection).fetch_value(query, *args)
        finally:
            await self.release(connection)

    async def execute(self, query: str, *args: object) -> int:
        """As `Transaction.execute`, in a transaction of its own."""
        connection = await self.acquire()
        try:
            return await Transaction(connection).execute(query, *args)
        finally:
            await self.release(connection)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction without events: committed at the end of the block, rolled back by an exception."""
        return _PoolTransaction(self, Transaction)

    def transaction_as(self, kind: Callable[["Connection", "Block"], _Tx]) -> AbstractAsyncContextManager[_Tx]:
        """As `transaction`, giving the block a Transaction of a kind of its own."""
        return _PoolTransaction(self, kind)

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
                connection_class=Connection,
            )
        except Exception as error:
            _raise_if_away(error)
            raise
        try:
            yield Session(connection)
        finally:
            # Closing says goodbye; where that is not answered, the socket alone is closed.
            try:
                await connection.close(timeout=1.0)
            except Exception as error:
                if not _is_away(error):
                    raise
                connection.terminate()

    async def healthy(self) -> bool:
        """Tell whether the server answers and takes writes, within two seconds.

        After a write was refused (a full disk still answers questions), one is tried until it succeeds.
        """
        try:
            async with asyncio.timeout(2.0):
                if not await self.fetch_value(_TAKES_WRITES):
                    return False
                if self._refused:
                    async with self.transaction() as transaction:
                        await transaction.execute(_WRITE_SOMETHING)
                    self._refused = False
                return True
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
            connection_class=Connection,
            init=self._prepare,
        )

    async def _prepare(
        self, connection: "asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]"
    ) -> None:
        await _teach_json(connection)
        cast(Connection, connection).on_refusal(self._note_refusal)

    def _note_refusal(self) -> None:
        self._refused = True

    async def acquire(self) -> "Connection":
        """Take a connection out of the pool; `release` has to follow. Raises Unavailable after a few seconds."""
        pool = self._pool
        if pool is None:
            raise Unavailable("database")
        use = self._use
        use.asked += 1
        began = time.monotonic() if use.asked > use.limit else 0.0
        try:
            async with asyncio.timeout(ACQUIRE_DEADLINE):
                connection = await pool.acquire()
        except BaseException as error:
            use.asked -= 1
            if isinstance(error, Exception):
                use.failures.inc()
                _raise_if_away(error)
            raise
        if began:
            use.wait_seconds.observe(time.monotonic() - began)
        # A stand-in with the connection's own methods, bound to this one use of it.
        return cast(Connection, connection)

    async def release(self, connection: "Connection") -> None:
        """Give a connection back; one that is broken is replaced."""
        self._use.asked -= 1
        if self._pool is None:
            return
        try:
            await self._pool.release(
                cast("asyncpg.pool.PoolConnectionProxy[Record]", connection), timeout=PROOF_DEADLINE
            )
        except TimeoutError:  # the pool has cut it: what was under way is told by its own error
            _log.warning("database.connection_replaced")


Runner = Database | Transaction
"""What runs a statement: by itself, or inside a transaction."""


if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]
    _AsyncpgConnection = asyncpg.Connection[Record]
else:  # generic in its stubs only
    _AsyncpgConnection = asyncpg.Connection


class Connection(_AsyncpgConnection):
    """A connection without the round trip that resets it after every use: nothing here alters a session."""

    def get_reset_query(self) -> str:
        return ""

    def on_refusal(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when the server does not take what it is told."""
        self._refusal = listener

    def refused(self) -> None:
        """Tell the listener, if there is one."""
        getattr(self, "_refusal", lambda: None)()


class _SessionTransaction:
    """A transaction on a connection that somebody else looks after."""

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


class _PoolTransaction(Generic[_Tx]):
    """A transaction on a connection of the pool, given back at its end."""

    def __init__(self, database: Database, kind: Callable[[Connection, Block], _Tx]) -> None:
        self._database = database
        self._kind = kind
        self._connection: Connection
        self._block: Block
        self._transaction: _Tx

    async def __aenter__(self) -> _Tx:
        self._connection = await self._database.acquire()
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
            await self._database.release(self._connection)


async def _begin(block: "Block") -> None:
    try:
        await block.start()
    except Exception as error:
        _raise_if_away(error)
        raise


async def _end(block: "Block", error: BaseException | None) -> None:
    """Commit, or roll back because of `error`."""
    try:
        if error is None:
            await block.commit()
        else:
            async with asyncio.timeout(PROOF_DEADLINE):
                await block.rollback()
    except Exception as failure:
        if error is None or not _is_away(failure):
            _raise_if_away(failure)
            raise
        # It has rolled back by itself; the error that brought us here matters more.
        _log.info("database.lost_while_rolling_back", error=str(failure))


async def retry_deadlock(attempt: Callable[[], Awaitable[_T]], *, attempts: int = 3) -> _T:
    """Run a whole transaction again when PostgreSQL chose it to break a deadlock; the last one's error is raised."""
    for _ in range(attempts - 1):
        try:
            return await attempt()
        except Deadlock:
            _log.info("database.deadlock_retried")
    return await attempt()


def _address(dsn: str) -> str:
    """Where a server is, without the name and password that open it: `host:port`, or a socket's folder."""
    url = urlsplit(dsn)
    if servers := url.netloc.rpartition("@")[2]:
        return servers if re.search(r":\d+$", servers) else f"{servers}:5432"
    return parse_qs(url.query).get("host", ["localhost"])[0]


async def _answers(connection: Connection) -> bool:
    """Whether the server still answers on this connection, once the statement under way has been cancelled."""
    try:
        await connection.execute("select true", timeout=PROOF_DEADLINE)
    except asyncpg.InFailedSQLTransactionError:
        return True  # a refusal is an answer, too
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


def _raise_if_away(error: Exception) -> None:
    """Raise Unavailable for an error that says that the server is away; nothing for every other."""
    if isinstance(error, _TAKES_NOTHING):
        raise TakesNoWrites from error
    if isinstance(error, asyncpg.InternalClientError):
        raise OutOfStep from error
    if _is_away(error):
        raise Unavailable("database") from error


def _is_away(error: Exception) -> bool:
    if isinstance(error, asyncpg.InterfaceError):
        return any(word in str(error) for word in _CLOSED_WORDS)
    return isinstance(error, _AWAY)


async def _teach_json(connection: "RawConnection") -> None:
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
