"""Bearers of browser sessions: what is accepted, and when no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from nacl.signing import SigningKey

from schemas.access import SESSION_PREFIX, EndedSession, Role, SessionKey, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens
from shared.access.sessions import LIFETIME, MOST_VERIFIED, Bearers, Sessions, sign_bearer
from shared.ids import new_id

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
TOKEN_ID, SESSION_ID, KEY_ID = new_id(), new_id(), b"12345678"
TOKEN = token_of(b"t" * 32)
KEY = SigningKey(b"k" * 32)


class World:
    def __init__(self) -> None:
        self.now = NOW.timestamp()
        self.tokens = KnownTokens()
        self.tokens.put(hash_of(TOKEN), Principal(TOKEN_ID, "ann", Role.OPERATOR))
        self.sessions = Sessions(self.tokens, clock=lambda: self.now)
        self.bearers = Bearers(self.tokens, self.sessions)
        self.learn(KEY)

    def learn(self, key: SigningKey, key_id: bytes = KEY_ID, lasts: timedelta = timedelta(days=1)) -> None:
        public = bytes(key.verify_key).hex()
        self.sessions.learn(SessionKey(key_id=key_id.hex(), public_key=public, expires_at=NOW + lasts))

    def bearer(self, key: SigningKey = KEY, key_id: bytes = KEY_ID, session_id: str = SESSION_ID) -> str:
        ends = NOW + timedelta(seconds=LIFETIME)
        return sign_bearer(key, key_id, session_id=session_id, token_id=TOKEN_ID, expires_at=ends)


@pytest.fixture
def world() -> World:
    return World()


def test_a_bearer_acts_for_the_token_of_its_session(world: World) -> None:
    found = world.bearers.find(world.bearer())
    assert found == Principal(TOKEN_ID, "ann", Role.OPERATOR, NOW + timedelta(seconds=LIFETIME), SESSION_ID)
    assert world.bearers.find(TOKEN) == Principal(TOKEN_ID, "ann", Role.OPERATOR)

    world.tokens.put(hash_of(TOKEN), Principal(TOKEN_ID, "ann", Role.VIEWER, NOW + timedelta(seconds=1)))
    found = world.bearers.find(world.bearer())
    assert found is not None
    assert (found.role, found.expires_at) == (Role.VIEWER, NOW + timedelta(seconds=1))


def test_a_bearer_ends_with_its_session_and_with_its_token(world: World) -> None:
    other = world.bearer(session_id=new_id())
    assert world.bearers.find(world.bearer()) is not None
    world.sessions.end(EndedSession(session_id=SESSION_ID, token_id=TOKEN_ID))
    assert world.bearers.find(world.bearer()) is None
    assert world.bearers.find(other) is not None

    world.now += LIFETIME
    world.sessions.forget()
    assert world.bearers.find(world.bearer()) is None  # its bearers have just expired

    world.tokens.forget(hash_of(TOKEN))
    assert world.bearers.find(other) is None


def test_a_bearer_is_accepted_by_its_key_alone(world: World) -> None:
    other = SigningKey(b"o" * 32)
    assert world.bearers.find(world.bearer(other)) is None
    assert world.bearers.find(world.bearer(other, b"unknown!")) is None
    world.learn(other, b"another!", timedelta(seconds=5))
    assert world.bearers.find(world.bearer(other, b"another!")) is not None

    world.now += 6
    assert world.bearers.find(world.bearer(other, b"another!", new_id())) is None


@pytest.mark.parametrize("place", range(0, 150, 10))
def test_a_changed_bearer_is_refused(world: World, place: int) -> None:
    text = world.bearer().removeprefix(SESSION_PREFIX)
    changed = "A" if text[place] != "A" else "B"
    assert world.bearers.find(SESSION_PREFIX + text[:place] + changed + text[place + 1 :]) is None


@pytest.mark.parametrize("text", ["", "AAAA", "?", "é", "A" * 151, "A" * 1_000])
def test_what_is_not_a_bearer_is_refused(world: World, text: str) -> None:
    assert world.bearers.find(SESSION_PREFIX + text) is None


def test_a_signature_is_verified_once_and_those_remembered_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = 0
    real = Sessions._verify

    def verify(self: Sessions, text: str) -> object:
        nonlocal verified
        verified += 1
        return real(self, text)

    monkeypatch.setattr(Sessions, "_verify", verify)
    first = world.bearer()
    for _ in range(3):
        assert world.bearers.find(first) is not None
    assert verified == 1

    for number in range(MOST_VERIFIED):
        world.sessions._verified[number.to_bytes(4, "big")] = world.sessions._verified[hash_of(first)]
    world.bearers.find(world.bearer(session_id=new_id()))
    assert len(world.sessions._verified) <= MOST_VERIFIED + 1
    assert hash_of(first) not in world.sessions._verified
