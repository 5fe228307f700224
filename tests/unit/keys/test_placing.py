"""Each party gets its own keys, and nothing of another one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.keys import NATS, make
from shared.keys.__main__ import main
from shared.keys.placing import PARTIES, place


class Owners:
    """Notes who would own each file, for a test that is not root."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def __call__(self, path: Path, user: int, group: int) -> None:
        assert user == group
        assert not (path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077), "others may read it"
        self.of[path.parent.name] = user


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make(folder, tls=True)
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    for name in PARTIES:
        (tmp_path / name).mkdir()
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_party_has_its_files_and_no_other(keys: Path, into: Path) -> None:
    owners = Owners()
    place(keys, into, own=owners)

    service = {"nats.creds", "server.crt", "server.key", "ca.crt"}
    issuer = {"operator.seed", "account.seed", "system-account.seed", "system.creds", "service-keys.json"}
    assert {name: files(into / name) for name in PARTIES} == {
        "nats": {"operator.conf", "server.crt", "server.key", "ca.crt"},
        "postgres": {"server.crt", "server.key"},
        "orchestrator": service | {"tokens.json"},
        "scheduler": service,
        "worker-manager": service | {"join-tokens.json", *(f"issuer/{name}" for name in issuer)},
        "worker": {"ca.crt", "join-token"},
        "nats-exporter": {"server.crt", "server.key", "ca.crt"},
        "proxy": {"server.pem", "ca.crt"},
        "prometheus": {"token", "ca.crt"},
        "postgres-exporter": {"ca.crt"},
    }
    assert {name: owners.of[name] for name in ("orchestrator", "issuer", "postgres", "prometheus", "proxy")} == {
        "orchestrator": 10001, "issuer": 10001, "postgres": 999, "prometheus": 65534, "proxy": 99,
    }  # fmt: skip


def test_the_authoritys_key_and_the_administrators_token_are_placed_nowhere(keys: Path, into: Path) -> None:
    place(keys, into, own=Owners())

    placed = [path.read_text() for path in into.rglob("*") if path.is_file()]
    for secret in (keys / "tls/ca.key", keys / "tokens/admin"):
        assert not any(secret.read_text() in text for text in placed), secret


def test_only_certificates_are_readable_by_others(keys: Path, into: Path) -> None:
    place(keys, into, own=Owners())

    for path in into.rglob("*"):
        if path.is_file():
            expected = 0o644 if path.suffix == ".crt" else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_only_what_has_changed_is_written_again(keys: Path, into: Path) -> None:
    place(keys, into, own=Owners())
    assert place(keys, into, own=Owners()) == []

    (into / "nats" / "server.crt").write_text("an older one")
    assert place(keys, into, own=Owners()) == [into / "nats" / "server.crt"]


def test_parties_without_a_folder_and_keys_that_were_not_made_are_left_out(tmp_path: Path) -> None:
    make(tmp_path / "keys")
    (tmp_path / "into" / "scheduler").mkdir(parents=True)

    place(tmp_path / "keys", tmp_path / "into", own=Owners())

    assert files(tmp_path / "into") == {"scheduler/nats.creds"}


def test_who_may_not_give_files_away_is_told(keys: Path, into: Path) -> None:
    def refuse(path: Path, user: int, group: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    with pytest.raises(ConfigError, match="Operation not permitted"):
        place(keys, into, own=refuse)


def test_the_command_makes_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.chown", lambda *_: None)
    (tmp_path / "into" / "nats").mkdir(parents=True)

    assert main(["make", str(tmp_path / "keys"), "--place", str(tmp_path / "into")]) == 0

    assert (tmp_path / "into/nats/operator.conf").read_text() == (
        tmp_path / "keys" / NATS / "operator.conf"
    ).read_text()
