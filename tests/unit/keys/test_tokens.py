"""The first tokens: made once, known by their hash."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from schemas.access import check_form, hash_of
from shared.errors import ConfigError
from shared.keys.tokens import FIRST, HASHES, make_tokens


def test_the_first_tokens_are_made_once_and_listed_by_hash(tmp_path: Path) -> None:
    made = list(make_tokens(tmp_path))
    before = {path: path.read_text() for path in made}

    assert [path.name for path in made] == [*FIRST, HASHES]
    assert list(make_tokens(tmp_path)) == []
    listed = json.loads((tmp_path / HASHES).read_text())
    assert {(entry["name"], entry["role"]) for entry in listed} == {("admin", "admin"), ("prometheus", "viewer")}
    for entry in listed:
        token = (tmp_path / entry["name"]).read_text().strip()
        assert check_form(token)
        assert entry["sha256"] == hash_of(token).hex()
        assert token not in (tmp_path / HASHES).read_text()
    assert {path: path.read_text() for path in made} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}


def test_a_token_that_is_made_again_is_another_one_with_another_id(tmp_path: Path) -> None:
    list(make_tokens(tmp_path))
    before = {entry["name"]: entry for entry in json.loads((tmp_path / HASHES).read_text())}
    (tmp_path / "admin").unlink()

    assert [path.name for path in make_tokens(tmp_path)] == ["admin", HASHES]

    after = {entry["name"]: entry for entry in json.loads((tmp_path / HASHES).read_text())}
    assert after["admin"]["id"] != before["admin"]["id"]
    assert after["prometheus"] == before["prometheus"]


def test_a_file_that_is_something_else_is_named_without_its_content(tmp_path: Path) -> None:
    list(make_tokens(tmp_path))
    (tmp_path / "admin").write_text("hodei_secret")

    with pytest.raises(ConfigError, match="form of a token") as caught:
        list(make_tokens(tmp_path))
    assert "secret" not in str(caught.value)
