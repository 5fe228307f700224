"""PostgreSQL over TLS. The wheel's server was built without it, so a front adds it to the real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import ConfigError, Unavailable
from shared.postgres import Database
from tests.fixtures.tls import certificates
from tests.standins.postgres.tls_front import TlsFront

Url = Callable[[str], str]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def front(database_url: str, keys: Path) -> AsyncIterator[TlsFront]:
    options = parse_qs(urlsplit(database_url).query)
    if "host" not in options:
        pytest.skip("the server of this backend has no socket on this machine")
    socket = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
    front = TlsFront(socket, str(keys / "postgres.crt"), str(keys / "postgres.key"))
    await front.start()
    yield front
    await front.stop()


@pytest.fixture
def url(front: TlsFront, database_url: str) -> Url:
    """The address of the server behind the front, with these options."""
    parts = urlsplit(database_url)
    return lambda options: f"postgresql://hodei@127.0.0.1:{front.port}{parts.path}?{options}"


def to(url: str) -> Database:
    return Database(url, schema="public", name="trial", min_size=1, max_size=2, start_deadline=0.2)


@pytest.mark.parametrize("options", ["sslmode=verify-full&sslrootcert={}/ca.crt", "sslmode=require", ""])
async def test_statements_travel_over_tls(front: TlsFront, keys: Path, url: Url, options: str) -> None:
    database = to(url(options.format(keys)))
    await database.start()
    try:
        assert await database.fetch_value("select 1") == 1
        async with database.session() as session:
            assert await session.fetch_value("select 2") == 2
    finally:
        await database.stop()
    assert front.encrypted >= 2


async def test_a_server_of_another_authority_is_refused(url: Url, tmp_path: Path) -> None:
    other = certificates(tmp_path / "other")

    with pytest.raises(ConfigError, match=r"^DATABASE_URL: .*CERTIFICATE_VERIFY_FAILED"):
        await to(url(f"sslmode=verify-full&sslrootcert={other}/ca.crt")).start()


async def test_a_server_without_tls_is_refused_with_the_reason(keys: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As PostgreSQL with `ssl=off` does it."""
        await reader.readexactly(8)
        writer.write(b"N")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=r"rejected SSL upgrade, tried for 0\.2 s"):
            await to(f"postgresql://hodei@127.0.0.1:{port}/x?sslmode=require&sslrootcert={keys}/ca.crt").start()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.crt", "sslrootcert=/nowhere/ca.crt: No such file or directory"),
        ("sslmode=verify-full&sslrootcert={}/ca.key", "sslrootcert={}/ca.key should be certificates in PEM format"),
        ("sslmode=require&sslkey=/nowhere/a.key", "sslkey=/nowhere/a.key: No such file or directory"),
    ],
)
async def test_a_file_that_cannot_be_used_is_one_clear_line(keys: Path, options: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await to(f"postgresql://hodei@127.0.0.1:1/x?{options.format(keys)}").start()

    assert str(caught.value) == f"DATABASE_URL: {line.format(keys)}"


async def test_a_mode_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"^DATABASE_URL: `sslmode` parameter must be one of: .*verify-full$"):
        await to("postgresql://hodei@127.0.0.1:1/x?sslmode=yes").start()
