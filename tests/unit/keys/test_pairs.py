"""Key pairs of NATS: their texts, and what is not one."""

from __future__ import annotations

import nkeys
import pytest

from shared.keys import BadKey, KeyPair, Kind, check_public

LETTERS = {Kind.OPERATOR: "O", Kind.ACCOUNT: "A", Kind.USER: "U"}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_first_letter_tells_what_a_key_is_of(kind: Kind) -> None:
    pair = KeyPair.new(kind)

    assert pair.public[0] == LETTERS[kind]
    assert pair.seed[:2] == "S" + LETTERS[kind]


def test_the_public_key_verifies_what_the_seed_signed() -> None:
    pair = KeyPair.new(Kind.USER)

    signature = KeyPair.of(pair.seed, Kind.USER).sign(b"nonce")

    assert nkeys.from_seed(pair.seed.encode()).verify(b"nonce", signature)


def test_the_seed_of_another_kind_is_refused() -> None:
    with pytest.raises(BadKey, match="seed of one NATS account"):
        KeyPair.of(KeyPair.new(Kind.USER).seed, Kind.ACCOUNT)


@pytest.mark.parametrize("text", ["", "S", "SUAX", "not a seed at all", "é" * 58])
def test_a_text_that_is_not_a_seed_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadKey) as refused:
        KeyPair.of(text, Kind.USER)

    assert not text or text not in str(refused.value).split("NATS")[0].split()


def test_a_seed_with_a_changed_character_is_refused() -> None:
    seed = KeyPair.new(Kind.USER).seed
    changed = seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]

    with pytest.raises(BadKey):
        KeyPair.of(changed, Kind.USER)


def test_a_public_key_is_checked() -> None:
    public = KeyPair.new(Kind.USER).public
    changed = public[:20] + ("A" if public[20] != "A" else "B") + public[21:]

    assert check_public(public) == public
    for wrong in ("", public[:-1], public.lower(), changed, KeyPair.new(Kind.ACCOUNT).public, "é" * 56):
        with pytest.raises(BadKey):
            check_public(wrong)


def test_a_pair_does_not_show_its_seed() -> None:
    pair = KeyPair.new(Kind.USER)

    assert pair.seed not in repr(pair)
    assert pair.public in repr(pair)
