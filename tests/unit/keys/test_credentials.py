"""Files of credentials: their text, and what is refused without being repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.permissions import Permissions
from shared.errors import ConfigError
from shared.keys import Credentials, KeyPair, Kind, claims

MOMENT = datetime(2030, 1, 2, tzinfo=UTC)


def credentials(*, seed: str | None = None) -> Credentials:
    pair = KeyPair.new(Kind.USER)
    allowed = Permissions(("a",), ("b",))
    jwt = claims.user(
        KeyPair.new(Kind.ACCOUNT), pair.public, "hodei-x", allowed, now=MOMENT, expires=MOMENT + timedelta(hours=1)
    )
    return Credentials(jwt, seed or pair.seed)


def test_credentials_come_back_from_their_text() -> None:
    made = credentials()

    read = Credentials.parse(made.text())

    assert read == made
    assert (read.name, read.expiry) == ("hodei-x", MOMENT.timestamp() + 3600)


def test_a_windows_line_ending_does_no_harm() -> None:
    made = credentials()

    assert Credentials.parse(made.text().replace("\n", "\r\n")) == made


def test_the_seed_of_another_user_is_refused() -> None:
    other = KeyPair.new(Kind.USER).seed

    with pytest.raises(ConfigError, match="the seed is another user's") as refused:
        Credentials.parse(credentials(seed=other).text())

    assert other not in str(refused.value)


def test_a_file_without_a_seed_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "half.creds"
    path.write_text(credentials().text().partition("****")[0])

    with pytest.raises(ConfigError, match=r"half\.creds: these are not the credentials"):
        Credentials.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.creds: No such file"):
        Credentials.read(tmp_path / "none.creds")


def test_the_representation_has_no_seed() -> None:
    made = credentials()

    assert made.seed not in repr(made)
