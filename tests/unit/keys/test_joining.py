"""The first join token: made once, replaced before it expires, and described to the worker manager."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas import permissions
from schemas.enrolment import JoinTokenText
from schemas.subjects import Catalogue
from shared.errors import ConfigError
from shared.keys import KeyPair, Kind, claims
from shared.keys.__main__ import main
from shared.keys.joining import JOIN_TOKEN, JOIN_TOKENS, LIFE, RENEW_BEFORE, make_join_token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CATALOGUE = Catalogue("acme")


@pytest.fixture(scope="module")
def signer() -> KeyPair:
    return KeyPair.new(Kind.ACCOUNT)


def made(folder: Path, signer: KeyPair, *, at: datetime = NOW) -> list[str]:
    return [path.name for path in make_join_token(folder, signer=signer, catalogue=CATALOGUE, moment=at)]


def token(folder: Path) -> JoinTokenText:
    return JoinTokenText.parse((folder / JOIN_TOKEN).read_text())


def test_the_worker_manager_learns_all_but_the_secret(tmp_path: Path, signer: KeyPair) -> None:
    assert made(tmp_path, signer) == [JOIN_TOKEN, JOIN_TOKENS]

    text = token(tmp_path)
    [entry] = json.loads((tmp_path / JOIN_TOKENS).read_text())
    assert entry == {
        "id": text.id,
        "name": "compose",
        "user_key": claims.read(text.jwt)["sub"],
        "type": None,
        "labels": None,
        "max_uses": 500,
        "expires_at": "2026-01-08T00:00:00.000000Z",
    }
    assert claims.permissions_in(text.jwt) == permissions.enrolment(CATALOGUE, text.id)
    assert text.seed not in (tmp_path / JOIN_TOKENS).read_text()


def test_it_is_kept_until_it_expires_soon(tmp_path: Path, signer: KeyPair) -> None:
    made(tmp_path, signer)
    first = token(tmp_path)

    assert made(tmp_path, signer, at=NOW + LIFE - RENEW_BEFORE) == [JOIN_TOKEN, JOIN_TOKENS]
    second = token(tmp_path)
    assert made(tmp_path, signer, at=NOW + LIFE - RENEW_BEFORE) == []

    assert second.id != first.id
    assert json.loads((tmp_path / JOIN_TOKENS).read_text())[0]["id"] == second.id


def test_it_is_for_the_workers_of_the_settings_only_and_replaced_with_them(tmp_path: Path) -> None:
    keys, first = tmp_path / "keys", ""
    for labels in ("zone=north", "zone=south"):
        assert main(["make", str(keys), "--worker-type", "gpu", "--worker-labels", labels]) == 0
        [entry] = json.loads((keys / "join" / JOIN_TOKENS).read_text())
        assert (entry["type"], entry["labels"]) == ("gpu", {"zone": labels.partition("=")[2]})
        assert entry["id"] == token(keys / "join").id != first
        first = entry["id"]
    assert main(["make", str(keys), "--worker-labels", "zone"]) == 2


def test_one_of_other_keys_is_replaced(tmp_path: Path, signer: KeyPair) -> None:
    made(tmp_path, KeyPair.new(Kind.ACCOUNT))

    assert made(tmp_path, signer) == [JOIN_TOKEN, JOIN_TOKENS]
    assert made(tmp_path, signer) == []


def test_a_file_that_is_something_else_is_named(tmp_path: Path, signer: KeyPair) -> None:
    made(tmp_path, signer)
    (tmp_path / JOIN_TOKEN).write_text("hodei_secret")

    with pytest.raises(ConfigError, match=JOIN_TOKEN) as caught:
        made(tmp_path, signer)
    assert "secret" not in str(caught.value)
