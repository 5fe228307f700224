"""The servers of all tests: one PostgreSQL and one NATS per test process, a database and a namespace per test.

They start when the first test asks for them, in under two seconds together, and are gone at the end.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from tests.fixtures import databases, servers, streams


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.PostgresServer]:
    with servers.postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.NatsServer]:
    with servers.nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_server(postgres_server: servers.PostgresServer) -> servers.PostgresServer:
    """The server, with the template that carries all services' schemas."""
    servers.wait_for(databases.make_migrated_template(postgres_server))
    return postgres_server


@pytest.fixture
async def database_url(postgres_server: servers.PostgresServer) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    async with databases.cloned(postgres_server, databases.EMPTY) as url:
        yield url


@pytest.fixture
async def migrated_database_url(migrated_server: servers.PostgresServer) -> AsyncIterator[str]:
    """A database of the test's own, with the schemas of all three services."""
    async with databases.cloned(migrated_server, databases.MIGRATED) as url:
        yield url


@pytest.fixture
def nats_url(nats_server: servers.NatsServer) -> str:
    return nats_server.url


@pytest.fixture
async def namespace(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace of the test's own on the bus; its streams are removed afterwards."""
    name = f"t{uuid.uuid4().hex[:12]}"
    # Asked for now, so that it outlives this fixture's end.
    server = request.getfixturevalue("nats_server") if "nats_server" in request.fixturenames else None
    yield name
    if server is not None:
        await streams.remove_streams(server.url, name)


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[EmbeddedPostgres]]]:
    """Starts a PostgreSQL that the test may stop and restart; costs a second."""
    async with AsyncExitStack() as stack:

        async def start() -> EmbeddedPostgres:
            folder = tmp_path / f"postgres-{uuid.uuid4().hex[:6]}"
            return await stack.enter_async_context(EmbeddedPostgres(folder, fsync=False))

        yield start


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[EmbeddedNats]]]:
    """Starts a NATS server that the test may stop and restart on the same port."""
    async with AsyncExitStack() as stack:

        async def start() -> EmbeddedNats:
            return await stack.enter_async_context(EmbeddedNats(tmp_path / f"nats-{uuid.uuid4().hex[:6]}"))

        yield start
