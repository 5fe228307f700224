"""The platform's own authority and the certificates of its servers."""

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification

from shared.errors import ConfigError
from shared.keys import TLS
from shared.keys.__main__ import main
from shared.keys.certificates import AUTHORITY_LIFE, LIFE, RENEW_BEFORE, SERVERS, make_certificates

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def leaf(folder: Path, server: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates((folder / f"{server}.crt").read_bytes())[0]


def verify(folder: Path, server: str, name: str, *, at: datetime) -> None:
    """As a client that trusts the authority only does it; raises VerificationError."""
    trusted = verification.Store([x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())])
    try:
        subject: x509.IPAddress | x509.DNSName = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    verifier = verification.PolicyBuilder().store(trusted).time(at).build_server_verifier(subject)
    verifier.verify(leaf(folder, server), [])


def test_every_server_has_a_certificate_for_its_names_that_the_authority_signed(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, now=NOW)

    assert made == list(SERVERS)
    for server, names in SERVERS.items():
        for name in names:
            verify(tmp_path, server, name, at=NOW)
        key = serialization.load_pem_private_key((tmp_path / f"{server}.key").read_bytes(), password=None)
        assert key.public_key() == leaf(tmp_path, server).public_key()


def test_a_certificate_is_not_valid_for_another_server(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)

    with pytest.raises(verification.VerificationError):
        verify(tmp_path, "nats", "orchestrator", at=NOW)


def test_all_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls", now=NOW)

    files = list((tmp_path / "tls").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert len(files) == 2 * (len(SERVERS) + 1)


def test_making_them_again_changes_nothing(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    assert make_certificates(tmp_path, now=NOW + LIFE - RENEW_BEFORE - DAY) == []

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_certificate_that_expires_soon_is_renewed_with_its_key(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)
    key, authority = (tmp_path / "orchestrator.key").read_bytes(), (tmp_path / "ca.crt").read_bytes()
    later = NOW + LIFE - RENEW_BEFORE + DAY

    assert make_certificates(tmp_path, now=later) == list(SERVERS)

    verify(tmp_path, "orchestrator", "orchestrator", at=later + LIFE - DAY)
    assert (tmp_path / "orchestrator.key").read_bytes() == key
    assert (tmp_path / "ca.crt").read_bytes() == authority


def test_a_certificate_gets_a_name_that_it_lacks(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)

    made = make_certificates(tmp_path, names=["hodei.example", "192.0.2.7"], now=NOW)

    assert "postgres" not in made
    for server in ("orchestrator", "nats", "proxy"):
        verify(tmp_path, server, "hodei.example", at=NOW)
        verify(tmp_path, server, "192.0.2.7", at=NOW)
    assert make_certificates(tmp_path, names=["hodei.example"], now=NOW) == []


def test_no_certificate_outlives_the_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)
    end = NOW + AUTHORITY_LIFE

    make_certificates(tmp_path, now=end - 30 * DAY)

    assert leaf(tmp_path, "proxy").not_valid_after_utc == end


def test_without_the_authoritys_key_only_what_is_missing_is_refused(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)
    (tmp_path / "ca.key").unlink()

    assert make_certificates(tmp_path, now=NOW) == []
    (tmp_path / "proxy.crt").unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*ca\.key"):
        make_certificates(tmp_path, now=NOW)


def test_a_file_that_is_cut_short_is_made_again(tmp_path: Path) -> None:
    make_certificates(tmp_path, now=NOW)
    (tmp_path / "nats.crt").write_bytes((tmp_path / "nats.crt").read_bytes()[:100])

    assert make_certificates(tmp_path, now=NOW) == ["nats"]


@pytest.mark.parametrize("name", ["ca.crt", "ca.key"])
def test_an_authority_that_is_not_one_is_named(tmp_path: Path, name: str) -> None:
    make_certificates(tmp_path, now=NOW)
    (tmp_path / "proxy.crt").unlink()
    make_certificates(tmp_path / "other", now=NOW)

    for content in ("text", (tmp_path / "other" / name).read_text()):
        (tmp_path / name).write_text(content)
        with pytest.raises(ConfigError, match=r"ca\.(crt|key): (should be|is not)"):
            make_certificates(tmp_path, now=NOW)


def test_the_command_makes_certificates_when_asked_and_prints_those_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["make", str(tmp_path)]) == 0
    assert not (tmp_path / TLS).exists()

    capsys.readouterr()
    assert main(["make", str(tmp_path), "--tls"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"made {tmp_path / TLS / server}.crt" for server in SERVERS]

    assert main(["make", str(tmp_path), "--name", "hodei.example"]) == 0
    assert f"made {tmp_path / TLS}/proxy.crt" in capsys.readouterr().out
    verify(tmp_path / TLS, "proxy", "hodei.example", at=datetime.now(UTC))
