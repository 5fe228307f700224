"""The database on a real server: types, transactions, and what happens when the server goes away."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared import foundation
from shared.errors import ConfigError, TooSlow, Unavailable
from shared.ids import new_id
from shared.postgres import Call, Database, Transaction, retry_deadlock
from shared.postgres import connection as connection_module
from shared.postgres import database as database_module
from shared.postgres import transaction as transaction_module
from shared.postgres.errors import Deadlock, UniqueViolation
from shared.telemetry import Metrics
from tests.fixtures.databases import read_only
from tests.fixtures.hush import Hush
from tests.fixtures.servers import PostgresServer

LOCK = 20_351_977
"""The key of an advisory lock that no other test takes."""


@pytest.mark.smoke
async def test_python_objects_go_in_and_out_of_json_columns(database: Database) -> None:
    value = {"steps": [1, None, "zwölf"], "deep": {"er": True}}
    row = await database.fetch_one("select $1::jsonb as b, $2::json as j, $1::jsonb::text as text", value, value)
    assert row is not None
    assert (row["b"], row["j"]) == (value, value)
    assert isinstance(row["text"], str)


async def test_ids_go_in_as_text_and_come_out_as_text(database: Database) -> None:
    id = new_id()
    assert await database.fetch_value("select $1::uuid::text", id) == id


async def test_statements_run_in_the_services_own_schema(database: Database) -> None:
    assert await database.fetch_value("select current_schema()") == "trial"


async def test_execute_counts_the_rows_it_touched(database: Database) -> None:
    assert await database.execute("create table things (id int primary key)") == 0
    assert await database.execute("insert into things select generate_series(1, 7)") == 7


async def test_an_exception_rolls_the_transaction_back(database: Database) -> None:
    await database.execute("create table things (id int primary key)")

    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("insert into things values (1)")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await database.fetch("select * from things") == []


async def test_queries_that_are_planned_for_their_values_see_one_state(database: Database) -> None:
    await database.execute("create table things (id int primary key)")
    counted = Call("select count(*)::integer as count from things", ())
    held_up = Call("select 0 as count from pg_advisory_xact_lock_shared(0, $1)", (LOCK,))
    waiting = "select exists (select from pg_locks where locktype = 'advisory' and objid = $1::oid and not granted)"

    async with database.transaction() as other:
        await other.execute("select pg_advisory_xact_lock(0, $1)", LOCK)
        reading = asyncio.create_task(database.fetch_planned(counted, held_up, counted))
        async with asyncio.timeout(10):
            while not await other.fetch_value(waiting, LOCK):  # noqa: ASYNC110  # PostgreSQL does not tell of it
                await asyncio.sleep(0.01)
        await other.execute("insert into things values (1)")

    assert [row["count"] for row in await reading] == [0, 0, 0]
    assert [row["count"] for row in await database.fetch_planned(counted)] == [1]


async def test_a_violated_constraint_arrives_as_itself(database: Database) -> None:
    await database.execute("create table things (id int primary key)")
    await database.execute("insert into things values (1)")
    with pytest.raises(UniqueViolation):
        await database.execute("insert into things values (1)")
    assert await database.healthy()


async def test_a_broken_connection_is_unavailable_and_the_next_call_works(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.execute("select pg_terminate_backend(pg_backend_pid())")

    async def cut() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await cut()
    assert await database.fetch_value("select 1") == 1


async def test_a_deadlock_is_tried_again() -> None:
    attempts = 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise Deadlock
        return "done"

    assert await retry_deadlock(attempt) == "done"
    attempts = 0
    with pytest.raises(Deadlock):
        await retry_deadlock(attempt, attempts=2)


def ask_for_proof_within(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connection_module, database_module, transaction_module):
        monkeypatch.setattr(module, "PROOF_DEADLINE", seconds)


@pytest.mark.parametrize("in_a_transaction", [False, True])
async def test_a_statement_that_does_not_end_in_time_is_too_slow(
    database_url: str, monkeypatch: pytest.MonkeyPatch, in_a_transaction: bool
) -> None:
    monkeypatch.setattr(database_module, "STATEMENT_DEADLINE", 1.0)
    database = Database(database_url, schema="public", name="trial", min_size=1, max_size=1)
    await database.start()

    async def dawdle() -> None:
        if in_a_transaction:
            async with database.transaction() as transaction:
                await transaction.execute("select pg_sleep(60)")
        else:
            await database.execute("select pg_sleep(60)")

    try:
        async with asyncio.timeout(10):
            pid = await database.fetch_value("select pg_backend_pid()")
            with pytest.raises(TooSlow, match="did not finish the request in time"):
                await dawdle()
            assert await database.fetch_value("select pg_backend_pid()") == pid  # the connection is as good as before
    finally:
        await database.stop()


async def test_a_server_that_falls_silent_is_away_and_not_too_slow(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "STATEMENT_DEADLINE", 0.2)
    ask_for_proof_within(0.1, monkeypatch)
    async with Hush(database_url).running() as way:
        database = Database(way.url, schema="public", name="trial", min_size=1, max_size=1)
        await database.start()
        way.hush()
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable) as caught:
                await database.execute("select true")
            assert not isinstance(caught.value, TooSlow)
            await database.stop()


async def test_on_a_silent_server_being_cancelled_ends_a_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_proof_within(0.1, monkeypatch)
    async with Hush(database_url).running() as way:
        database = Database(way.url, schema="public", name="trial", min_size=1, max_size=1)
        await database.start()
        silent = asyncio.Event()

        async def work() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("select true")
                way.hush()
                asyncio.get_running_loop().call_soon(silent.set)
                await transaction.execute("select true")

        async with asyncio.timeout(10):
            working = asyncio.create_task(work())
            await silent.wait()
            working.cancel()
            await asyncio.wait({working})
            assert working.cancelled()
            await database.stop()


async def test_a_stopped_database_is_unavailable(database_url: str) -> None:
    database = Database(database_url, schema="trial", name="trial")
    assert not await database.healthy()
    with pytest.raises(Unavailable):
        await database.fetch_value("select 1")


@pytest.mark.smoke
async def test_a_server_that_restarts_is_found_again(own_postgres: Callable[[], Awaitable[PostgresServer]]) -> None:
    server = await own_postgres()
    database = Database(server.url, schema="public", name="trial", min_size=2, max_size=4)
    await database.start()
    try:
        await server.stop()
        assert not await database.healthy()
        with pytest.raises(Unavailable):
            await database.fetch_value("select 1")
        await server.start()
        async with asyncio.timeout(10):
            while not await database.healthy():  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(0.05)
    finally:
        await database.stop()


async def test_a_server_that_never_answers_is_named(unused_tcp_port: int) -> None:
    database = Database(
        f"postgresql://hodei:s3cret@127.0.0.1:{unused_tcp_port}/hodei", schema="x", name="x", start_deadline=0.2
    )
    with pytest.raises(Unavailable, match=f"127.0.0.1:{unused_tcp_port}") as caught:
        await database.start()
    assert "s3cret" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_not_waited_for(database_url: str) -> None:
    elsewhere = urlsplit(database_url)._replace(path="/nowhere").geturl()
    database = Database(elsewhere, schema="x", name="x", start_deadline=60)
    with pytest.raises(ConfigError, match=r"DATABASE_URL.*nowhere"):
        await database.start()


async def test_a_plain_transaction_is_just_that(database: Database) -> None:
    async with database.transaction() as transaction:
        assert type(transaction) is Transaction


async def test_the_metrics_tell_who_waits_for_a_connection(database_url: str) -> None:
    metrics = Metrics()
    database = Database(database_url, schema="public", name="trial", min_size=1, max_size=2, metrics=metrics)

    def told() -> tuple[float, float]:
        return metrics.value("hodei_database_pool_in_use"), metrics.value("hodei_database_pool_waiters")

    with pytest.raises(Unavailable):
        await database.acquire()
    await database.start()
    try:
        assert told() == (0, 0)
        first, second = await database.acquire(), await database.acquire()
        third = asyncio.create_task(database.acquire())
        leaving = asyncio.create_task(database.acquire())
        await asyncio.sleep(0)
        assert told() == (2, 2)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert told() == (2, 1)
        await database.release(first)
        await database.release(await third)
        await database.release(second)
        assert told() == (0, 0)
        assert metrics.value("hodei_database_pool_wait_seconds_count") == 1, "who found a free one did not wait"
        assert metrics.value("hodei_database_pool_limit") == 2
        assert metrics.value("hodei_database_pool_failures_total") == 0
    finally:
        await database.stop()


def _raising(sqlstate: str) -> str:
    return f"do $$ begin raise exception using errcode = '{sqlstate}', message = 'as the test wishes'; end $$"


@pytest.mark.parametrize(
    "sqlstate",
    [
        "25006",
        "53100",
        "53200",
        "53300",
        "57P01",
        "57P02",
        "57P03",
        "57P04",
        "58030",
        "42501",
        "28P01",
        "3D000",
        "08006",
    ],
)
@pytest.mark.parametrize("in_a_transaction", [False, True])
async def test_a_server_that_takes_nothing_is_away(database: Database, sqlstate: str, in_a_transaction: bool) -> None:
    async def work() -> None:
        if in_a_transaction:
            async with database.transaction() as transaction:
                await transaction.execute(_raising(sqlstate))
        else:
            await database.execute(_raising(sqlstate))

    with pytest.raises(Unavailable) as caught:
        await work()
    assert not isinstance(caught.value, TooSlow)


async def test_a_statement_that_the_server_cuts_short_was_too_slow(database: Database) -> None:
    async def dawdle() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("set local statement_timeout = '10ms'")
            await transaction.execute("select pg_sleep(60)")

    with pytest.raises(TooSlow):
        await dawdle()
    assert await database.fetch_value("select 1") == 1


async def test_a_read_only_database_is_unhealthy_until_it_takes_writes(database: Database, database_url: str) -> None:
    await read_only(database_url, True)
    with pytest.raises(Unavailable, match="accepts no writes"):
        await database.execute("create table things (id int)")
    assert await database.fetch_value("select 1") == 1, "it can still be read"
    assert not await database.healthy()
    await read_only(database_url, False)
    assert await database.healthy()
    await database.execute("create table things (id int)")


async def test_a_full_disk_is_unhealthy_until_something_can_be_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="accepts no writes"):
        await database.execute(_raising("53100"))
    with monkeypatch.context() as full:
        full.setattr(database_module, "_WRITE_SOMETHING", _raising("53100"))
        assert not await database.healthy()
        assert not await database.healthy()
    assert await database.healthy()


async def test_a_service_that_starts_waits_for_a_database_that_takes_no_writes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foundation, "MIGRATION_PAUSE", 0.05)
    declared = asyncio.Event()

    class Bus:
        async def declare(self) -> None:
            declared.set()

    await read_only(database_url, True)
    database = Database(database_url, schema="shared", name="trial", min_size=1, max_size=2)
    await database.start()
    try:
        schema = foundation._Schema(database, Bus(), package="shared", deadline=0)  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="accepts no writes"):
            await schema.start()
        schema = foundation._Schema(database, Bus(), package="shared", deadline=30)  # type: ignore[arg-type]
        with capture_logs() as said:
            starting = asyncio.create_task(schema.start())
            while not any(line["event"] == "database.waiting" for line in said):  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
            await read_only(database_url, False)
            await starting
        assert declared.is_set()
    finally:
        await database.stop()


async def test_a_process_that_stops_inside_a_transaction_keeps_nobody_waiting(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "IDLE_IN_TRANSACTION", "200ms")
    database = Database(database_url, schema="public", name="trial", min_size=2, max_size=2)
    await database.start()
    try:
        await database.execute("create table held as select 1 as id")
        taken, go_on = asyncio.Event(), asyncio.Event()

        async def stops() -> None:
            async with database.transaction() as transaction:
                await transaction.fetch("select * from held for update")
                taken.set()
                await go_on.wait()
                await transaction.execute("update held set id = 2")

        stopped = asyncio.create_task(stops())
        async with asyncio.timeout(10):
            await taken.wait()
            await database.execute("update held set id = 3")
            go_on.set()
            with pytest.raises(Unavailable):  # it is told when it goes on, and tries anew
                await stopped
        assert await database.fetch_value("select id from held") == 3
    finally:
        await database.stop()


def test_transactions_may_lie_idle_for_less_than_five_seconds() -> None:
    assert database_module.IDLE_IN_TRANSACTION == "3s"


async def test_a_driver_out_of_step_is_not_waited_for_for_ever() -> None:
    class Confused:
        async def fetch(self, *_: object) -> None:
            raise asyncpg.InternalClientError("got result for unknown protocol state 3")

    with pytest.raises(TooSlow, match="out of step"):
        await Transaction(Confused()).fetch("select 1")  # type: ignore[arg-type]  # all that it needs
