"""The JWTs of operator mode: what they say, and that their signature is the issuer's."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta

import nkeys
import orjson
import pytest

from schemas.permissions import Permissions
from shared.keys import KeyPair, Kind, claims

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ALLOWED = Permissions(("hodei.a", "hodei.b.>"), ("_INBOX.hodei.x.>",))


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_users_jwt_says_who_may_use_which_subjects_until_when() -> None:
    account, public = KeyPair.new(Kind.ACCOUNT), KeyPair.new(Kind.USER).public

    said = claims.read(
        claims.user(account, public, "hodei-worker", ALLOWED, now=MOMENT, expires=MOMENT + timedelta(hours=24))
    )

    assert (said["iss"], said["sub"], said["name"]) == (account.public, public, "hodei-worker")
    assert (said["iat"], said["exp"]) == (1893553445, 1893553445 + 86400)
    assert said["nats"]["pub"] == {"allow": ["hodei.a", "hodei.b.>"]}
    assert said["nats"]["sub"] == {"allow": ["_INBOX.hodei.x.>"]}


def test_a_user_without_subjects_may_use_none() -> None:
    body = claims.read(
        claims.user(KeyPair.new(Kind.ACCOUNT), KeyPair.new(Kind.USER).public, "x", Permissions((), ()), now=MOMENT)
    )["nats"]

    assert body["pub"] == body["sub"] == {"deny": [">"]}, "an empty list would allow everything"


def test_the_permissions_of_a_jwt_come_back() -> None:
    for allowed in (ALLOWED, Permissions((), ("a",)), Permissions((), ())):
        jwt = claims.user(KeyPair.new(Kind.ACCOUNT), KeyPair.new(Kind.USER).public, "x", allowed, now=MOMENT)
        assert claims.permissions_in(jwt) == allowed


def test_the_signature_is_the_issuers() -> None:
    account = KeyPair.new(Kind.ACCOUNT)

    jwt = claims.user(account, KeyPair.new(Kind.USER).public, "x", ALLOWED, now=MOMENT)

    text, _, signature = jwt.rpartition(".")
    assert nkeys.from_seed(account.seed.encode()).verify(text.encode(), decoded(signature))
    assert orjson.loads(decoded(text.split(".")[0])) == {"typ": "JWT", "alg": "ed25519-nkey"}


def test_an_accounts_jwt_names_its_revocations() -> None:
    operator, account, gone = KeyPair.new(Kind.OPERATOR), KeyPair.new(Kind.ACCOUNT).public, KeyPair.new(Kind.USER)

    said = claims.read(claims.account(operator, account, "hodei", now=MOMENT, revoked=[gone.public]))

    assert said["nats"]["revocations"] == {gone.public: 253402300799}, "whatever is signed for it later is refused, too"
    assert said["nats"]["limits"]["disk_storage"] == claims.UNLIMITED


def test_the_system_account_has_no_jetstream() -> None:
    said = claims.read(
        claims.account(KeyPair.new(Kind.OPERATOR), KeyPair.new(Kind.ACCOUNT).public, "SYS", now=MOMENT, jetstream=False)
    )

    assert "disk_storage" not in said["nats"]["limits"]


def test_the_expiry_of_a_jwt_is_read() -> None:
    account, public = KeyPair.new(Kind.ACCOUNT), KeyPair.new(Kind.USER).public

    assert claims.expiry(claims.user(account, public, "x", ALLOWED, now=MOMENT)) is None
    assert claims.expiry(claims.user(account, public, "x", ALLOWED, now=MOMENT, expires=MOMENT)) == MOMENT.timestamp()


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "é.é.é", "e30.e30.e30", "e30.W10.e30"])
def test_a_text_that_is_not_a_jwt_is_refused(text: str) -> None:
    with pytest.raises(claims.BadClaims):
        claims.read(text)
