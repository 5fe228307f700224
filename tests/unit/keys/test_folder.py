"""The folder of keys: what is in it, who may read it, and what a second run changes."""

from __future__ import annotations

import errno
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas import permissions
from schemas.permissions import SERVICES
from schemas.subjects import Catalogue
from shared.errors import ConfigError
from shared.keys import (
    FEED_CREDENTIALS,
    ISSUER,
    NATS,
    OPERATOR_CONF,
    BadKey,
    Credentials,
    Issuer,
    KeyPair,
    Kind,
    claims,
    files,
    make,
    service_credentials,
)
from shared.keys.__main__ import main


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_each_service_has_credentials_with_its_permissions(tmp_path: Path) -> None:
    make(tmp_path, namespace="acme")

    for service in SERVICES:
        held = Credentials.read(tmp_path / NATS / service_credentials(service))
        assert held.name == f"acme-{service}"
        assert held.expiry is None
        assert claims.permissions_in(held.jwt) == permissions.service(Catalogue("acme"), service)


def test_only_the_owner_may_read_what_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "keys"

    make(folder)

    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_issuer_never_revokes_the_keys_of_the_services(tmp_path: Path) -> None:
    make(tmp_path)
    issuer, worker = Issuer(tmp_path / ISSUER), KeyPair.new(Kind.USER).public
    own = {Credentials.read(file).public for file in (tmp_path / NATS).glob("*.creds")}

    signed = claims.read(issuer.signed_account("hodei", [worker, *own], now=datetime.now(UTC)))

    assert issuer.service_keys == own
    assert len(own) == len(SERVICES) + 1
    assert list(signed["nats"]["revocations"]) == [worker]


def test_a_folder_of_an_earlier_version_learns_the_keys_of_the_services(tmp_path: Path) -> None:
    make(tmp_path)
    listed = tmp_path / ISSUER / "service-keys.json"
    whole = listed.read_text()
    listed.unlink()
    assert Issuer(tmp_path / ISSUER).service_keys == frozenset()

    assert make(tmp_path) == [listed]
    assert listed.read_text() == whole
    listed.write_text("[]")
    with pytest.raises(ConfigError, match=r"service-keys\.json: should be"):
        Issuer(tmp_path / ISSUER)
    assert make(tmp_path) == [listed]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert len(make(tmp_path)) == len(contents(tmp_path))
    before = contents(tmp_path)

    assert make(tmp_path) == []

    assert contents(tmp_path) == before


def test_a_complete_folder_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "open", full)

    assert make(tmp_path) == []


def test_streams_of_a_server_without_accounts_become_the_platforms(tmp_path: Path) -> None:
    keys, store = tmp_path / "keys", tmp_path / "nats"
    before = store / "jetstream" / "$G" / "streams" / "hodei-logs"
    before.mkdir(parents=True)

    made = make(keys, store=store)

    account = Issuer(keys / ISSUER).account
    assert made[-1] == store / "jetstream" / account
    assert (made[-1] / "streams" / "hodei-logs").is_dir()
    assert not (store / "jetstream" / "$G").exists()
    assert make(keys, store=store) == []


def test_the_command_takes_the_streams_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `hodei up` and the local stack call it after an upgrade."""
    keys, store = tmp_path / "keys", tmp_path / "nats"
    (store / "jetstream" / "$G" / "streams" / "hodei-logs").mkdir(parents=True)

    assert main(["make", str(keys), "--streams", str(store)]) == 0

    taken = store / "jetstream" / Issuer(keys / ISSUER).account
    assert f"made {taken}\n" in capsys.readouterr().out
    assert (taken / "streams" / "hodei-logs").is_dir()
    assert not (store / "jetstream" / "$G").exists()


def test_streams_of_the_account_are_not_replaced(tmp_path: Path) -> None:
    keys, store = tmp_path / "keys", tmp_path / "nats"
    make(keys)
    now = store / "jetstream" / Issuer(keys / ISSUER).account / "streams" / "hodei-events"
    for stream in (now, store / "jetstream" / "$G" / "streams" / "hodei-events"):
        stream.mkdir(parents=True)

    assert make(keys, store=store) == []
    assert now.is_dir()


def test_a_server_that_has_never_run_has_nothing_to_move(tmp_path: Path) -> None:
    assert make(tmp_path / "keys", store=tmp_path / "nats")[-1].name != "jetstream"
    assert not (tmp_path / "nats").exists()


def test_what_is_missing_is_made_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    missing = tmp_path / NATS / FEED_CREDENTIALS
    missing.unlink()

    assert make(tmp_path) == [missing, tmp_path / ISSUER / "service-keys.json"]  # with the new key of the reader

    made_again = {"nats/feed.creds": "", "issuer/service-keys.json": ""}
    assert contents(tmp_path) | made_again == before | made_again


def test_a_user_with_other_permissions_is_signed_again_for_its_key(tmp_path: Path) -> None:
    """As after an upgrade to a version with more subjects."""
    make(tmp_path)
    feed = tmp_path / NATS / FEED_CREDENTIALS
    before = Credentials.read(feed)
    less = permissions.feed(Catalogue(), ["hodei.feed.jobs.>"])
    feed.write_text(Credentials(Issuer(tmp_path / ISSUER).user(before.public, before.name, less), before.seed).text())

    assert make(tmp_path) == [feed]

    after = Credentials.read(feed)
    assert (after.public, after.seed) == (before.public, before.seed)
    assert claims.permissions_in(after.jwt) == claims.permissions_in(before.jwt)


def test_several_that_make_the_folder_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [path for one in pool.map(lambda _: make(tmp_path), range(8)) for path in one]

    account = Issuer(tmp_path / ISSUER).account
    assert len(made) == len(set(made)) == len(contents(tmp_path))
    for service in SERVICES:
        assert claims.read(Credentials.read(tmp_path / NATS / service_credentials(service)).jwt)["iss"] == account
    assert f"  {account}: " in (tmp_path / NATS / OPERATOR_CONF).read_text()


def test_a_broken_seed_stops_it_with_the_name_of_the_file(tmp_path: Path) -> None:
    make(tmp_path)
    broken = tmp_path / ISSUER / "account.seed"
    broken.write_text("SAAA")

    with pytest.raises(ConfigError, match=r"account\.seed: this is not the seed of one NATS account"):
        make(tmp_path)

    assert broken.read_text() == "SAAA"


def test_the_issuer_signs_users_of_other_machines(tmp_path: Path) -> None:
    make(tmp_path)
    issuer, worker = Issuer(tmp_path / ISSUER), KeyPair.new(Kind.USER)
    allowed = permissions.agent(Catalogue(), "0197c0de-0000-7000-8000-000000000001")

    said = claims.read(issuer.user(worker.public, "hodei-agent", allowed))

    assert (said["sub"], said["iss"]) == (worker.public, issuer.account)
    with pytest.raises(BadKey):
        issuer.user(KeyPair.new(Kind.ACCOUNT).public, "hodei-agent", allowed)


def test_an_incomplete_issuer_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"operator\.seed: No such file"):
        Issuer(tmp_path)


def test_the_command_prints_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"

    assert main(["make", str(folder), "--namespace", "acme"]) == 0
    assert f"made {folder}/nats/operator.conf\n" in capsys.readouterr().out
    assert main(["make", str(folder), "--namespace", "acme"]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_fails_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()

    assert main(["make", str(tmp_path / "file" / "keys")]) == 2
    assert main(["make", str(tmp_path / "keys"), "--namespace", "A.B"]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "Not a directory" in lines[0]
    assert "namespace 'A.B'" in lines[1]
