"""With which token, CA and addresses a client calls, out of arguments, the environment and profiles."""

from __future__ import annotations

import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hodei.client import ApiError, Client, Unreachable, WrongSetting
from hodei.client.connection import find_connection
from hodei.client.profiles import Profile, Profiles
from schemas.access import token_of

MINE, OTHER, THIRD = (token_of(bytes([n]) * 32) for n in range(3))
NOWHERE = {"ORCHESTRATOR": None, "SCHEDULER": None, "WORKER_MANAGER": None}


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Profiles:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ORCHESTRATOR", "SCHEDULER", "WORKER_MANAGER"):
        monkeypatch.delenv(f"{name}_PORT", raising=False)
        monkeypatch.delenv(f"HODEI_{name}_URL", raising=False)
    found = Profiles.of({"XDG_CONFIG_HOME": str(tmp_path)})
    for name, token in (("old", OTHER), ("prod", MINE)):
        urls = {service: f"https://{name}:{port}" for service, port in zip(_SERVICES, range(1, 4), strict=True)}
        found.put(name, Profile(**urls, token=token))
    return found


_SERVICES = ("orchestrator", "scheduler", "worker_manager")


async def test_without_an_address_the_current_profile_is_used_as_a_whole(profiles: Profiles) -> None:
    found = find_connection(NOWHERE)

    assert [str(url) for url in found.urls.values()] == ["https://prod:1", "https://prod:2", "https://prod:3"]
    assert (found.token, found.token_from) == (MINE, "the profile in use")
    assert MINE not in repr(found)
    assert MINE not in repr(profiles.get("prod"))


@pytest.mark.parametrize("variable", ["HODEI_SCHEDULER_URL", "ORCHESTRATOR_PORT"])
async def test_a_profiles_token_is_sent_to_its_own_addresses_only(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://elsewhere:1" if variable.endswith("URL") else "9080")

    assert find_connection(NOWHERE).token is None
    assert find_connection(NOWHERE | {"ORCHESTRATOR": "http://here:1"}).token is None


async def test_an_argument_wins_then_the_environment_then_the_profile(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HODEI_TOKEN", OTHER)
    assert find_connection(NOWHERE).token == OTHER
    assert find_connection(NOWHERE, token=THIRD).token == THIRD

    monkeypatch.setenv("HODEI_PROFILE", "old")
    monkeypatch.setenv("HODEI_TOKEN", "")
    assert find_connection(NOWHERE).urls["SCHEDULER"].host == "old"
    assert find_connection(NOWHERE).token == OTHER


async def test_a_profile_that_an_argument_names_wins_over_the_environment(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HODEI_TOKEN", THIRD)
    monkeypatch.setenv("HODEI_ORCHESTRATOR_URL", "http://elsewhere:1")
    found = find_connection(NOWHERE, profile="old")

    assert (str(found.urls["ORCHESTRATOR"]), found.token) == ("https://old:1", OTHER)


@pytest.mark.parametrize(
    ("environment", "arguments", "says"),
    [
        ({"HODEI_PROFILE": "prd"}, {}, r"there is no profile 'prd' \(old, prod\)"),
        (
            {"HODEI_PROFILE": "old", "HODEI_SCHEDULER_URL": "http://a:1"},
            {},
            "HODEI_PROFILE and HODEI_SCHEDULER_URL are both set",
        ),
        ({"HODEI_TOKEN": MINE[:-1] + "!"}, {}, "^HODEI_TOKEN: is not a token, or is mistyped: its last"),
        (
            {},
            {"token": MINE[:-1]},
            "^the argument token: is not a whole token: that has 55 characters, this one has 54",
        ),
        ({"HODEI_TOKEN": f"Bearer {MINE}"}, {}, "^HODEI_TOKEN: begins with Bearer, which is not part of the token"),
        ({}, {"token": "a\nX-Evil: b"}, "^the argument token: is not a token: one begins with hodei_"),
        ({"HODEI_CA": "/nowhere.pem"}, {}, "^HODEI_CA: /nowhere.pem: No such file"),
        ({}, {"ca": __file__}, "^the argument ca: .* has no certificate in PEM form"),
        ({"HODEI_TOKEN": MINE, "HODEI_ORCHESTRATOR_URL": "http://u:secret@a:1"}, {}, "^http://a:1: give a token, or"),
    ],
)
async def test_what_is_wrong_is_named_and_no_token_shown(
    profiles: Profiles,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: dict[str, str],
    says: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting, match=says) as refused:
        Client(**arguments)

    assert not any(secret in str(refused.value) for secret in (MINE[:-1], "X-Evil", "secret"))


async def test_blanks_and_line_breaks_around_a_token_are_not_part_of_it(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HODEI_TOKEN", f" {OTHER}\n")
    assert find_connection(NOWHERE).token == OTHER


async def test_why_a_profile_is_not_used_is_known(profiles: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_connection(NOWHERE | {"SCHEDULER": "http://here:1"})
    assert found.token_from == "the profile prod is not used, because an address was given"
    monkeypatch.setenv("HODEI_SCHEDULER_URL", "http://here:1")
    assert find_connection(NOWHERE).token_from == "the profile prod is not used, because HODEI_SCHEDULER_URL is set"
    assert find_connection(NOWHERE, token="").token_from == ""

    monkeypatch.delenv("HODEI_SCHEDULER_URL")
    profiles.remove("prod")
    assert find_connection(NOWHERE).token_from == "no profile is in use; choose one with hodei --profile NAME: old"
    profiles.remove("old")
    assert find_connection(NOWHERE).token_from == ""


async def test_a_profile_and_addresses_exclude_each_other(profiles: Profiles) -> None:
    with pytest.raises(WrongSetting, match="give a profile or addresses"):
        Client("http://here:1", profile="prod")


# -- the file ----------------------------------------------------------------------------------------


async def test_only_its_owner_can_read_the_file_of_profiles(profiles: Profiles) -> None:
    assert profiles.path.stat().st_mode & 0o777 == 0o600
    assert profiles.path.parent.stat().st_mode & 0o777 == 0o700

    profiles.path.chmod(0o640)
    with pytest.raises(WrongSetting, match=r"can be read by other users: run chmod 600 .*profiles\.json"):
        Client()


async def test_a_file_that_is_not_profiles_is_named_without_its_contents(profiles: Profiles) -> None:
    profiles.path.write_text('{"profiles": {"prod": {"orchestrator": 1, "token": "' + MINE + '"}}}')
    with pytest.raises(WrongSetting, match=r"profiles\.json: profiles\.prod\.orchestrator: ") as refused:
        Client()

    assert MINE not in str(refused.value)


async def test_what_a_later_version_adds_to_the_file_is_kept(profiles: Profiles) -> None:
    profiles.path.write_text(profiles.path.read_text().replace('"token"', '"colour": "red", "token"'))
    profiles.remove("old")

    assert '"colour": "red"' in profiles.path.read_text()
    assert profiles.names() == ["prod"]
    assert profiles.current() == "prod"

    profiles.remove("prod")
    assert profiles.current() is None
    assert str(find_connection(NOWHERE).urls["ORCHESTRATOR"]) == "http://127.0.0.1:8080"


# -- what is sent ------------------------------------------------------------------------------------


async def _refuse(request: web.Request) -> web.Response:
    fields = {"title": "Unauthorized", "status": 401, "detail": "no", "instance": request.path}
    given = request.headers.get("Authorization", "none")
    return web.json_response(fields | {"detail": f"{len(given)}"}, status=401, content_type="application/problem+json")


async def test_the_token_is_a_header_and_a_refusal_names_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    app = web.Application()
    app.router.add_get("/{tail:.*}", _refuse)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        monkeypatch.setenv("HODEI_TOKEN", MINE)
        async with Client(url, url, url) as client:
            with pytest.raises(ApiError) as refused:
                await client.job("x")
            assert str(refused.value) == f"401 Unauthorized: {len('Bearer ' + MINE)}; the token came from HODEI_TOKEN"
            with pytest.raises(ApiError, match="the token came from HODEI_TOKEN"):
                await anext(aiter(client.follow_logs("x")))
        monkeypatch.delenv("HODEI_TOKEN")
        async with Client(url, url, url) as client:
            with pytest.raises(
                ApiError, match="401 Unauthorized: no token was sent: set HODEI_TOKEN, or log in with hodei login URL"
            ):
                await client.job("x")


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


async def test_a_certificate_is_trusted_by_its_ca_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path)
    app = web.Application()
    app.router.add_get("/{tail:.*}", _refuse)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=tls)
    url = f"https://127.0.0.1:{server.port}"
    try:
        async with Client(url, url, url) as client:
            with pytest.raises(Unreachable, match=r"its certificate is not trusted: .*; name its CA with --ca or"):
                await client.job("x")
            with pytest.raises(Unreachable, match="its certificate is not trusted"):
                await anext(aiter(client.follow_logs("x")))
        monkeypatch.setenv("HODEI_CA", str(certificate))
        async with Client(url, url, url) as client:
            with pytest.raises(ApiError, match="401"):
                await client.job("x")
    finally:
        await server.close()
