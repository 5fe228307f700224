"""Migrations on a real server: once each, whoever comes first, and never silently different."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.postgres import Database, migrate, migrations
from shared.postgres.errors import UniqueViolation

Writer = Callable[[int, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """A package `trial_package`, to which the test adds migrations."""
    folder = tmp_path / "trial_package" / "sql" / "migrations"
    folder.mkdir(parents=True)
    (tmp_path / "trial_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(number: int, text: str) -> None:
        (folder / f"{number:04}_step.sql").write_text(text)
        migrations.load.cache_clear()

    yield add
    sys.modules.pop("trial_package", None)
    migrations.load.cache_clear()


async def test_the_shared_tables_come_first_into_the_services_schema(database: Database, write: Writer) -> None:
    write(1, "create table mine (id int); insert into mine select count(*) from outbox;")
    assert await migrate(database, "trial_package") == 1
    tables = await database.fetch("select table_name from information_schema.tables where table_schema = 'trial'")
    shared = {"schema_migrations", "outbox", "idempotency_keys", "audit", "tokens"}
    assert {row["table_name"] for row in tables} == {*shared, "mine"}


async def test_migrating_again_does_nothing(database: Database, write: Writer) -> None:
    write(1, "create table mine (id int)")
    await migrate(database, "trial_package")
    assert await migrate(database, "trial_package") == 0
    write(2, "alter table mine add column name text")
    assert await migrate(database, "trial_package") == 1


async def test_replicas_that_start_together_apply_each_migration_once(database_url: str, write: Writer) -> None:
    write(1, "create table mine (id int)")
    replicas = [Database(database_url, schema="fresh", name=f"r{n}", min_size=1, max_size=2) for n in range(3)]
    await asyncio.gather(*(replica.start() for replica in replicas))
    try:
        counts = await asyncio.gather(*(migrate(replica, "trial_package") for replica in replicas))
    finally:
        await asyncio.gather(*(replica.stop() for replica in replicas))
    assert sorted(counts) == [0, 0, 10]


async def test_a_failing_migration_leaves_nothing_of_itself(database: Database, write: Writer) -> None:
    write(1, "create table mine (id int primary key)")
    write(2, "insert into mine values (1); insert into mine values (1);")
    with pytest.raises(UniqueViolation):
        await migrate(database, "trial_package")
    assert await database.fetch("select * from mine") == []
    write(2, "insert into mine values (2)")
    assert await migrate(database, "trial_package") == 1


async def test_a_migration_may_take_longer_than_other_statements(
    database: Database, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.postgres.database.STATEMENT_DEADLINE", 0.2)
    write(1, "create table mine (id int); select pg_sleep(0.6);")
    assert await migrate(database, "trial_package") == 1


async def test_an_applied_migration_that_changed_is_refused(database: Database, write: Writer) -> None:
    write(1, "create table mine (id int)")
    await migrate(database, "trial_package")
    write(1, "create table mine (id bigint)")
    with pytest.raises(ConfigError, match=r"0001_step\.sql is not what was applied"):
        await migrate(database, "trial_package")


async def test_a_database_newer_than_the_code_is_refused(database: Database, write: Writer) -> None:
    write(1, "create table mine (id int)")
    await migrate(database, "trial_package")
    await database.execute("insert into schema_migrations values ('trial_package', 2, 'future', 'x')")
    with pytest.raises(ConfigError, match="newer than this version"):
        await migrate(database, "trial_package")


async def test_a_gap_in_the_numbers_is_refused(database: Database, write: Writer) -> None:
    write(1, "select 1")
    write(3, "select 1")
    with pytest.raises(ConfigError, match=r"expected 0002"):
        await migrate(database, "trial_package")
