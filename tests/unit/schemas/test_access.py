"""The form of tokens, and which role includes which."""

import hashlib
import os
import zlib

import pytest

from schemas.access import BODY, PREFIX, Role, check_form, hash_of, token_of

SECRET = bytes(range(32))


@pytest.mark.parametrize("secret", [SECRET, bytes(32), b"\xff" * 32])
def test_a_token_has_a_fixed_length_and_passes_its_own_check(secret: bytes) -> None:
    token = token_of(secret)
    assert token.startswith(PREFIX)
    assert len(token) == len(PREFIX) + 43 + 6
    assert check_form(token)


def test_different_secrets_make_different_tokens() -> None:
    assert len({token_of(os.urandom(32)) for _ in range(100)}) == 100


def test_the_checksum_is_the_crc_of_the_random_part() -> None:
    token = token_of(SECRET)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body, checksum = token[len(PREFIX) :][:BODY], token[-6:]
    number = 0
    for character in checksum:
        number = number * 62 + digits.index(character)
    assert number == zlib.crc32(body.encode())


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_token_is_made_of_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        token_of(bytes(length))


def test_a_mistyped_token_is_recognised() -> None:
    token = token_of(SECRET)
    for place in range(len(PREFIX), len(token)):
        other = "x" if token[place] != "x" else "y"
        assert not check_form(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "hodei_", token_of(SECRET)[:-1], token_of(SECRET) + "0", " " + token_of(SECRET), "hodei_" + "é" * 49]
)
def test_what_is_not_a_token_is_recognised(text: str) -> None:
    assert not check_form(text)


def test_a_token_is_known_by_its_sha256() -> None:
    assert hash_of(token_of(SECRET)) == hashlib.sha256(token_of(SECRET).encode()).digest()
    assert len(hash_of("\udcff")) == 32  # a header that was not UTF-8


def test_each_role_covers_itself_and_those_before_it() -> None:
    order = [Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN]
    for rank, role in enumerate(order):
        assert [other for other in order if role.covers(other)] == order[: rank + 1]
