"""The pool of connections of one process to its schema, and sessions outside the pool.

Every statement runs in the service's own schema (`search_path`). `shared.postgres.errors` has the errors that calls
raise, `shared.postgres.transaction` what runs inside a transaction.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, cast

import asyncpg
import structlog

from shared.errors import ConfigError, Unavailable
from shared.postgres.connection import PROOF_DEADLINE, Connection, Record, address, check_certificates, teach_json
from shared.postgres.errors import HOPELESS, is_away, raise_if_away
from shared.postgres.metrics import PoolMetrics
from shared.postgres.statements import Call
from shared.postgres.transaction import Block, PoolTransaction, Session, Transaction, Tx
from shared.telemetry import Metrics

ACQUIRE_DEADLINE: Final = 5.0
STATEMENT_DEADLINE: Final = 30.0
CONNECT_DEADLINE: Final = 5.0
IDLE_IN_TRANSACTION: Final = "3s"
PLANNED: Final = "set transaction isolation level repeatable read; set local plan_cache_mode = force_custom_plan"
"""Begins a transaction of queries that are planned for their values and see the same state."""

_TAKES_WRITES: Final = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'"
_WRITE_SOMETHING: Final = """
create temporary table room_for_something on commit drop as
select string_agg(md5(random()::text), '') as something from generate_series(1, 2000)
"""
"""A write that needs a new file of some pages, which fails first when the disk is full."""

_log = structlog.get_logger(__name__)


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
            # Ends the transaction of a hung process, whose locks other processes wait for.
            "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
        }
        self._pool: asyncpg.Pool[Record] | None = None
        self._refused = False
        """Whether a write was refused, and no check has written successfully since."""

    async def start(self) -> None:
        """Connect, trying until the start deadline. Raises Unavailable, or ConfigError for a wrong address, login or
        certificate."""
        check_certificates(self._dsn)
        give_up = time.monotonic() + self._start_deadline
        pause = 0.05
        while True:
            try:
                self._pool = await self._create_pool()
                return
            except HOPELESS as error:
                raise ConfigError(f"DATABASE_URL: {_first_line(error)}") from error
            except Exception as error:
                if not is_away(error):
                    raise
                if time.monotonic() + pause > give_up:
                    why = f"{_first_line(error)}, tried for {self._start_deadline:g} s"
                    raise Unavailable(f"database at {address(self._dsn)} ({why})") from error
                _log.info("database.waiting", error=_first_line(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def stop(self) -> None:
        """Close the pool once its connections are free; those still in use after five seconds are terminated."""
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

    async def fetch_planned(self, *calls: Call) -> list[Record]:
        """The rows of queries whose best plan depends on their values: of a status that few rows have, the index is
        read; of one that most have, the newest rows. Left to itself, PostgreSQL chooses one plan for all values after
        some executions. Several queries see the same state of the database."""
        async with self.transaction() as tx:
            await tx.execute(PLANNED)
            return [row for call in calls for row in await tx.fetch(call.query, *call.arguments)]

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
        return PoolTransaction(self, Transaction)

    def transaction_as(self, kind: Callable[[Connection, Block], Tx]) -> AbstractAsyncContextManager[Tx]:
        """As `transaction`, with a Transaction that `kind` makes."""
        return PoolTransaction(self, kind)

    @asynccontextmanager
    async def session(self, *, statement_deadline: float | None = None) -> AsyncIterator[Session]:
        """A connection outside the pool, whose statements may take `statement_deadline` seconds (by default, as long as
        those of the pool). The server notices within seconds if this process dies, and frees its locks."""
        keepalive = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_DEADLINE,
                command_timeout=statement_deadline or STATEMENT_DEADLINE,
                server_settings={**self._server_settings, **keepalive},
                connection_class=Connection,
            )
        except Exception as error:
            raise_if_away(error)
            raise
        try:
            yield Session(connection)
        finally:
            # Closing waits for the server's answer; without one, only the socket is closed.
            try:
                await connection.close(timeout=1.0)
            except Exception as error:
                if not is_away(error):
                    raise
                connection.terminate()

    async def healthy(self) -> bool:
        """Whether the server answers and accepts writes, within two seconds.

        After a refused write each check tries to write until that succeeds: a server with a full disk still answers
        queries.
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
        await teach_json(connection)
        cast(Connection, connection).on_refusal(self._note_refusal)

    def _note_refusal(self) -> None:
        self._refused = True

    async def acquire(self) -> Connection:
        """Take a connection out of the pool; the caller must `release` it. Raises Unavailable after five seconds."""
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
                raise_if_away(error)
            raise
        if began:
            use.wait_seconds.observe(time.monotonic() - began)
        # asyncpg's proxy has the methods of the connection, for as long as it is acquired.
        return cast(Connection, connection)

    async def release(self, connection: Connection) -> None:
        """Give a connection back; the pool replaces a broken one."""
        self._use.asked -= 1
        if self._pool is None:
            return
        try:
            await self._pool.release(
                cast("asyncpg.pool.PoolConnectionProxy[Record]", connection), timeout=PROOF_DEADLINE
            )
        except TimeoutError:  # the pool has closed it, and the caller got its statement's error
            _log.warning("database.connection_replaced")


def _first_line(error: Exception) -> str:
    """What an error says, without the hints on further lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


Runner = Database | Transaction
"""Runs a statement, by itself or inside a transaction."""
