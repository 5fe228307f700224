"""The servers of all tests: one PostgreSQL and one NATS per test process, a database and a namespace per test.

They start when the first test asks for them, in under two seconds together, and are gone at the end. Which ones
they are, TEST_BACKEND says (fixtures/servers.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import hypothesis
import pytest
from aiohttp import web_app

from tests.fixtures import databases, disks, servers, streams
from tests.fixtures.guarded import GuardedNats, guarded_nats


def pytest_configure(config: pytest.Config) -> None:
    # The profiles of whoever runs the tests name other platforms.
    os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir()) / "hodei-tests-have-no-profiles")
    for name in ("HODEI_TOKEN", "HODEI_PROFILE", "HODEI_CA"):
        os.environ.pop(name, None)
    # How long one example takes says more of the machine than of the code.
    hypothesis.settings.register_profile("hodei", deadline=None)
    hypothesis.settings.load_profile("hodei")
    try:
        if servers.chosen() == servers.CONTAINERS:
            from tests.fixtures.containers import check_engine

            check_engine()
            # While a server is away its engine's proxy takes connections and ends them, and nats-py forgets to close
            # its side of those.
            config.addinivalue_line("filterwarnings", "ignore:unclosed <StreamWriter:ResourceWarning")
    except servers.BackendError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(autouse=True)
def wrong_tokens_are_answered_at_once() -> Iterator[None]:
    """Wrong tokens of the tests all come from one address, whose answers would wait longer and longer.

    This fixture must not use `monkeypatch`: every test would set that up before its other fixtures and the event loop,
    and undo the test's own patches only after it has closed them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.web.wrong_tokens.FIRST_PAUSE", 0.0)
        yield


@pytest.fixture(autouse=True)
def applications_are_forgotten() -> Iterator[None]:
    """aiohttp remembers the handlers of the last 1,024 applications of a process. That is no matter to a service, which
    has one; a process with thousands of tests would hold hundreds of megabytes, and each full garbage collection would
    stop it for seconds.
    """
    yield
    web_app._cached_build_middleware.cache_clear()


@pytest.fixture(scope="session")
def backend() -> Iterator[servers.Backend]:
    with servers.backend() as backend:
        yield backend


@pytest.fixture(scope="session")
def postgres_server(
    backend: servers.Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.PostgresServer]:
    server = backend.postgres(tmp_path_factory.mktemp("postgres"))
    with servers.running(server):
        yield server


@pytest.fixture(scope="session")
def nats_server(backend: servers.Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.NatsServer]:
    server = backend.nats(tmp_path_factory.mktemp("nats"))
    with servers.running(server):
        yield server


@pytest.fixture(scope="session", name="guarded_nats")
def _guarded_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedNats]:
    """A NATS server that asks for credentials, for the namespace `acme`."""
    with guarded_nats(tmp_path_factory.mktemp("guarded")) as server:
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
async def own_postgres(
    backend: servers.Backend, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[servers.PostgresServer]]]:
    """Starts a PostgreSQL that the test may stop and restart; costs a second."""
    async with AsyncExitStack() as stack:

        async def start() -> servers.PostgresServer:
            server = backend.postgres(tmp_path / f"postgres-{uuid.uuid4().hex[:6]}")
            stack.push_async_callback(server.remove)
            await server.start()
            return server

        yield start


@pytest.fixture
async def own_nats(
    backend: servers.Backend, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[servers.NatsServer]]]:
    """Starts a NATS server that the test may stop, kill and restart on the same port."""
    async with AsyncExitStack() as stack:

        async def start() -> servers.NatsServer:
            server = backend.nats(tmp_path / f"nats-{uuid.uuid4().hex[:6]}")
            stack.push_async_callback(server.remove)
            await server.start()
            return server

        yield start


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> disks.Disk:
    """The disk of this process, to let the making of files fail."""
    return disks.Disk(monkeypatch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    with disks.mounted(tmp_path / "disk", size="1m") as folder:
        yield folder
