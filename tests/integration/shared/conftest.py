"""A database with the shared tables in a schema of its own, and a recording stand-in for a bus that can be cut."""

from collections.abc import AsyncIterator

import pytest

from shared.postgres import Database, migrate


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A started database, its schema `trial` migrated with the shared tables."""
    database = Database(database_url, schema="trial", name="trial", min_size=1, max_size=4)
    await database.start()
    try:
        await migrate(database, "shared")
        yield database
    finally:
        await database.stop()
