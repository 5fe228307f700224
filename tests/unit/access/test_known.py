"""The tokens in memory: found by their text, forgotten at once, and noted when used."""

import time
from datetime import UTC, datetime, timedelta

from schemas.access import Role, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens

ONE, TWO = token_of(b"1" * 32), token_of(b"2" * 32)


def principal(name: str, role: Role = Role.VIEWER, *, expires_in: float = 3600) -> Principal:
    return Principal(f"id-{name}", name, role, datetime.now(UTC) + timedelta(seconds=expires_in))


def test_a_token_is_found_by_its_whole_text() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one"))
    found = known.find(ONE)
    assert found is not None
    assert found.name == "one"
    assert known.find(TWO) is None
    assert known.find(ONE[:-1]) is None
    assert known.find("") is None


def test_a_forgotten_token_is_not_found() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one"))
    known.forget(hash_of(TWO))
    known.forget(hash_of(ONE))
    assert known.find(ONE) is None
    assert len(known) == 0


def test_a_whole_list_replaces_all() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one"))
    known.replace({hash_of(TWO): principal("two")})
    assert known.find(ONE) is None
    known.replace({hash_of(TWO): principal("two", Role.ADMIN)})
    found = known.find(TWO)
    assert found is not None
    assert found.role is Role.ADMIN


def test_a_use_is_noted_and_outlives_a_new_list() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one"))
    known.put(hash_of(TWO), principal("two"))
    began = time.time()
    known.find(ONE)
    known.replace({hash_of(ONE): principal("one"), hash_of(TWO): principal("two")})
    used = known.used_since(began)
    assert used.keys() == {"id-one"}
    assert began <= used["id-one"] <= time.time()
    assert known.used_since(time.time() + 1) == {}


def test_a_request_with_an_expired_token_is_not_a_use() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one", expires_in=-1))
    assert known.find(ONE) is not None
    assert known.of_id("id-one") is not None
    assert known.used_since(0) == {}


def test_a_token_that_was_never_used_has_no_time_of_use() -> None:
    known = KnownTokens()
    known.put(hash_of(ONE), principal("one"))
    assert known.used_since(0.0) == {}
