"""The template with the services' schemas."""

from __future__ import annotations

import asyncpg

from tests.fixtures.databases import SERVICES, _has_migrations


async def test_a_migrated_database_has_the_schemas_of_all_services(migrated_database_url: str) -> None:
    connection = await asyncpg.connect(migrated_database_url)
    try:
        schemas = {row["nspname"] for row in await connection.fetch("SELECT nspname FROM pg_namespace")}
    finally:
        await connection.close()
    assert {service for service in SERVICES if _has_migrations(service)} <= schemas
