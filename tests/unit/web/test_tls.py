"""A web server with a certificate: HTTPS only, and a changed certificate without a restart."""

import asyncio
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.errors import ConfigError
from shared.keys.certificates import make_certificates
from shared.telemetry import Metrics
from shared.web import ServerTls, WebServer

MakeApp = Callable[..., web.Application]
DEADLINE = 20.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_certificates(folder)
    return folder


@pytest.fixture
def files(keys: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key, for a test to change."""
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificate.write_bytes((keys / "orchestrator.crt").read_bytes())
    key.write_bytes((keys / "orchestrator.key").read_bytes())
    return certificate, key


@pytest.fixture
def server(make_app: MakeApp, files: tuple[Path, Path]) -> WebServer:
    return WebServer(make_app(), "127.0.0.1", 0, tls=ServerTls(*files, metrics=Metrics()))


def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


async def status(server: WebServer, context: ssl.SSLContext, host: str = "127.0.0.1") -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE)) as session,
        session.get(f"https://{host}:{server.port}/health/live", ssl=context) as response,
    ):
        return response.status


async def serial(server: WebServer, context: ssl.SSLContext) -> int:
    """Of the certificate that a new connection gets."""
    async with asyncio.timeout(DEADLINE):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(found).serial_number


async def test_a_client_that_trusts_the_authority_is_served_by_name_and_by_address(
    server: WebServer, keys: Path
) -> None:
    await server.start()
    try:
        assert await status(server, trusting(keys / "ca.crt")) == 200
        assert await status(server, trusting(keys / "ca.crt"), host="localhost") == 200
    finally:
        await server.stop()


async def test_a_client_that_does_not_trust_the_authority_turns_away(server: WebServer, keys: Path) -> None:
    await server.start()
    try:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status(server, ssl.create_default_context())
    finally:
        await server.stop()


async def test_http_without_tls_gets_no_answer(server: WebServer) -> None:
    await server.start()
    try:
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await reader.read()
            writer.close()
        assert b"HTTP" not in answer
    finally:
        await server.stop()


def test_versions_of_tls_before_1_2_are_refused(files: tuple[Path, Path]) -> None:
    assert ServerTls(*files, metrics=Metrics()).context().minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_renewed_certificate_is_served_without_a_restart(
    server: WebServer, keys: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    context = trusting(keys / "ca.crt")
    await server.start()
    assert server.certificate is not None
    server.certificate.interval = 0.01
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE)) as session:
        url = f"https://127.0.0.1:{server.port}/health/live"
        async with session.get(url, ssl=context) as response:
            await response.read()
        before = await serial(server, context)

        replace(files[0], renewed(keys, tmp_path / "renewed"))
        await until_changed(server)

        after = await serial(server, context)
        async with session.get(url, ssl=context) as response:  # on the connection that is still open
            assert response.status == 200
    await server.stop()
    assert after != before


async def test_while_key_and_certificate_differ_the_former_one_is_served(
    server: WebServer, keys: Path, files: tuple[Path, Path]
) -> None:
    context = trusting(keys / "ca.crt")
    await server.start()
    assert server.certificate is not None
    await server.certificate.stop()  # the test runs it by itself
    before = await serial(server, context)

    replace(files[0], (keys / "proxy.crt").read_bytes())
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
            await server.certificate.run_once()
    assert await serial(server, context) == before
    replace(files[1], (keys / "proxy.key").read_bytes())
    assert await server.certificate.run_once() == {"changed": 1}
    assert await server.certificate.run_once() == {"changed": 0}

    after = await serial(server, context)
    await server.stop()
    assert after == x509.load_pem_x509_certificates((keys / "proxy.crt").read_bytes())[0].serial_number


async def test_the_end_of_the_certificate_is_a_metric(files: tuple[Path, Path]) -> None:
    metrics = Metrics()
    ServerTls(*files, metrics=metrics).context()

    leaf = x509.load_pem_x509_certificates(files[0].read_bytes())[0]
    found = metrics.registry.get_sample_value("hodei_tls_certificate_expiry_time_seconds")
    assert found == leaf.not_valid_after_utc.timestamp()


def bad_files(keys: Path, folder: Path) -> Iterator[tuple[Path, Path, str]]:
    good, key = keys / "orchestrator.crt", keys / "orchestrator.key"
    empty, protected = folder / "empty.pem", folder / "protected.key"
    empty.touch()
    protected.write_bytes(_with_password(key))
    yield folder / "none.crt", key, f"HODEI_TLS_CERT={folder / 'none.crt'}: No such file or directory"
    yield good, folder / "none.key", f"HODEI_TLS_KEY={folder / 'none.key'}: No such file or directory"
    yield folder, key, f"HODEI_TLS_CERT={folder}: Is a directory"
    pair = "HODEI_TLS_CERT={}, HODEI_TLS_KEY={}: {}"
    right = "should be a certificate and its private key in PEM format"
    yield empty, key, pair.format(empty, key, right)
    yield good, empty, pair.format(good, empty, right)
    yield key, good, pair.format(key, good, right)
    yield good, keys / "proxy.key", pair.format(good, keys / "proxy.key", "the key does not belong to the certificate")
    yield good, protected, pair.format(good, protected, "the key has a password; it must have none")


async def test_files_that_cannot_be_used_prevent_the_start_with_one_line(
    make_app: MakeApp, keys: Path, tmp_path: Path
) -> None:
    for certificate, key, line in bad_files(keys, tmp_path):
        server = WebServer(
            make_app(metrics=Metrics()), "127.0.0.1", 0, tls=ServerTls(certificate, key, metrics=Metrics())
        )
        with pytest.raises(ConfigError) as caught:
            await server.start()
        assert str(caught.value) == line


def _with_password(key: Path) -> bytes:
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def renewed(keys: Path, folder: Path) -> bytes:
    """Another certificate for the same key."""
    shutil.copytree(keys, folder)
    (folder / "orchestrator.crt").unlink()
    assert make_certificates(folder) == ["orchestrator"]
    return (folder / "orchestrator.crt").read_bytes()


def replace(path: Path, content: bytes) -> None:
    made = path.with_suffix(".new")
    made.write_bytes(content)
    os.replace(made, path)


async def until_changed(server: WebServer) -> None:
    assert server.certificate is not None
    async with asyncio.timeout(DEADLINE):
        while True:
            if (await server.certificate.next_run())["changed"]:
                return
