"""How `hodei up` reaches services that have a certificate."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from hodei.embedded.errors import WrongSetting
from hodei.up_services import services, trusting
from hodei.up_settings import SERVICES, UpSettings
from shared.keys.certificates import make_certificates


def test_services_with_a_certificate_are_asked_over_https() -> None:
    for given, scheme in (({}, "http"), ({"HODEI_TLS_CERT": "/keys/server.crt"}, "https")):
        ports = dict(SERVICES)
        specs = services(UpSettings.read(given), ports, {}, ())
        assert [spec.url for spec in specs] == [f"{scheme}://127.0.0.1:{port}" for port in ports.values()]


async def test_only_a_server_with_that_certificate_is_trusted(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours / "scheduler.crt", ours / "scheduler.key")
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]

        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(ours / "scheduler.crt"))
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting(other / "scheduler.crt"))


def test_a_file_that_is_not_a_certificate_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, why in (("none", "No such file or directory"), ("empty", "should be certificates in PEM format")):
        with pytest.raises(WrongSetting, match=f"^HODEI_TLS_CERT={tmp_path / name}: {why}$"):
            trusting(tmp_path / name)


def test_without_a_certificate_nothing_is_special() -> None:
    assert trusting(None) is True
