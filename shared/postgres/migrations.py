"""Migrations: numbered SQL files, applied in order, each in one transaction, each exactly once per schema.

`<package>/sql/migrations/0001_what_it_does.sql`, numbered from 1 without gaps. A file never changes after it was
applied to any database; a correction is a new file. The tables that every service needs (outbox, idempotency keys) are
migrations of `shared` itself and are applied to each service's schema first. There are no down migrations: the previous
version of a service must run on the next version's schema.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import structlog

from shared.errors import ConfigError
from shared.postgres.database import Database
from shared.postgres.queries import load_queries
from shared.postgres.transaction import Session

DEADLINE: Final = 3600.0
"""Seconds that one migration may take: it may rewrite a table of many millions of rows."""
_FILE: Final = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_SHARED: Final = "shared"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `checksum` is the SHA-256 of its text with line ends as LF."""

    package: str
    number: int
    name: str
    text: str
    checksum: str


async def migrate(database: Database, package: str) -> int:
    """Apply the missing migrations of `shared` and `package`. Returns the number applied.

    Safe to call from several processes at once: one migrates, the others wait. Raises ConfigError, and changes nothing,
    when an applied migration differs from its file, or when the database is newer than this code.
    """
    sql = load_queries("shared.postgres")
    async with database.session(statement_deadline=DEADLINE) as session:
        await session.fetch(sql["lock_migrations"], database.schema)
        if not await session.fetch_value(sql["schema_exists"], database.schema):
            await session.execute(await session.fetch_value(sql["create_schema_statement"], database.schema))
        await session.execute(sql["create_schema_migrations"])
        packages = (_SHARED,) if package == _SHARED else (_SHARED, package)
        missing = [m for name in packages for m in await _missing(session, sql, name)]
        for migration in missing:
            await _apply(session, sql, migration)
    return len(missing)


@cache
def load(package: str) -> tuple[Migration, ...]:
    """Read a package's migrations in order. Raises ConfigError for a bad file name, a gap or a repeated number."""
    folder = files(package).joinpath("sql", "migrations")
    found: list[Migration] = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name) if folder.is_dir() else ():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.match(file.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise ConfigError(f"{package}/sql/migrations/{file.name}: expected {len(found) + 1:04}_<name>.sql here")
        text = file.read_text("utf-8").replace("\r\n", "\n")
        found.append(Migration(package, int(match[1]), match[2], text, hashlib.sha256(text.encode()).hexdigest()))
    return tuple(found)


async def _missing(session: Session, sql: Mapping[str, str], package: str) -> list[Migration]:
    ours = load(package)
    applied = await session.fetch(sql["applied_migrations"], package)
    if len(applied) > len(ours):
        newest = applied[-1]
        raise ConfigError(
            f"the database is newer than this version: it has {package} migration {newest['number']:04} "
            f"({newest['name']}), this version knows {len(ours)}; run the newer version"
        )
    for row, migration in zip(applied, ours, strict=False):
        if (row["number"], row["checksum"]) != (migration.number, migration.checksum):
            raise ConfigError(
                f"{package}/sql/migrations/{migration.number:04}_{migration.name}.sql is not what was applied to "
                f"this database (as {row['name']}): an applied migration never changes, add a new one"
            )
    return list(ours[len(applied) :])


async def _apply(session: Session, sql: Mapping[str, str], migration: Migration) -> None:
    async with session.transaction() as transaction:
        await transaction.execute(migration.text)
        await transaction.execute(
            sql["record_migration"], migration.package, migration.number, migration.name, migration.checksum
        )
    _log.info("migration.applied", package=migration.package, number=migration.number, name=migration.name)
