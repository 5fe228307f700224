"""The signed statements with which NATS in operator mode decides who may do what: JWTs of operator, accounts and users.

Here: what each of the three says, and the signing. Not here: keys (`shared.keys.pairs`), and which subjects a user may
use (`schemas.permissions`). The form is version 2 of the NATS JWTs, ADR-14 of NATS: JSON, signed with Ed25519, whose
`sub` and `iss` are public keys. An operator signs accounts, an account signs its users.
"""

import hashlib
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.permissions import Permissions
from shared.errors import HodeiError
from shared.keys.pairs import KeyPair, verifies

VERSION: Final = 2
UNLIMITED: Final = -1
END_OF_TIME: Final = 253_402_300_799
"""The end of the year 9999, in seconds since 1970. For each revoked key NATS wants a time, and refuses what was issued
until then."""

_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
_ACCOUNT_LIMITS: Final[Mapping[str, Any]] = {
    "subs": UNLIMITED,
    "data": UNLIMITED,
    "payload": UNLIMITED,
    "imports": UNLIMITED,
    "exports": UNLIMITED,
    "wildcards": True,
    "conn": UNLIMITED,
    "leaf": UNLIMITED,
}
_JETSTREAM_LIMITS: Final[Mapping[str, Any]] = {
    "mem_storage": UNLIMITED,
    "disk_storage": UNLIMITED,
    "streams": UNLIMITED,
    "consumer": UNLIMITED,
    "max_ack_pending": UNLIMITED,
    "mem_max_stream_bytes": UNLIMITED,
    "disk_max_stream_bytes": UNLIMITED,
}
_USER_LIMITS: Final[Mapping[str, Any]] = {"subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED}
_NOTHING: Final = {"deny": [">"]}
"""No subject at all. An empty `allow` would allow every subject."""


class BadClaims(HodeiError):
    """A text is not a JWT of NATS. The message does not repeat it."""


def operator(signer: KeyPair, name: str, *, system_account: str, now: datetime) -> str:
    """The operator's statement about itself, with the public key of the system account."""
    return _signed(signer, signer.public, name, {"type": "operator", "system_account": system_account}, now=now)


def account(
    signer: KeyPair,
    public: str,
    name: str,
    *,
    now: datetime,
    jetstream: bool = True,
    revoked: Iterable[str] = (),
) -> str:
    """An operator's statement about an account. `revoked` are public keys of users: nothing that was signed for them is
    valid, whenever it was signed and by whichever clock."""
    body: dict[str, Any] = {
        "type": "account",
        "limits": {**_ACCOUNT_LIMITS, **(_JETSTREAM_LIMITS if jetstream else {})},
        "default_permissions": {"pub": {}, "sub": {}},
    }
    if revocations := dict.fromkeys(sorted(revoked), END_OF_TIME):
        body["revocations"] = revocations
    return _signed(signer, public, name, body, now=now)


def user(
    signer: KeyPair,
    public: str,
    name: str,
    permissions: Permissions,
    *,
    now: datetime,
    expires: datetime | None = None,
    tags: Sequence[str] = (),
) -> str:
    """An account's statement about a user: the subjects that he may use, until it expires. `tags` are for us: NATS does
    not read them."""
    body: dict[str, Any] = {
        "type": "user",
        "pub": _allow(permissions.publish),
        "sub": _allow(permissions.subscribe),
        **_USER_LIMITS,
    }
    if tags:
        body["tags"] = list(tags)
    return _signed(signer, public, name, body, now=now, expires=expires)


def read(jwt: str) -> dict[str, Any]:
    """The content of a JWT. The signature is not checked: NATS does that. Raises BadClaims."""
    try:
        _, payload, _ = jwt.split(".")
        content = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("nats"), dict):
        raise BadClaims("this is not a JWT of NATS")
    return content


def verified(jwt: str, issuer: str) -> dict[str, Any]:
    """The content of a JWT that this account signed. Whether it has expired is not checked. Raises BadClaims."""
    content = read(jwt)
    text, _, signature = jwt.rpartition(".")
    try:
        raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    except ValueError:
        raise BadClaims("this JWT was not signed by the platform's account") from None
    if content.get("iss") != issuer or not verifies(issuer, text.encode(), raw):
        raise BadClaims("this JWT was not signed by the platform's account")
    return content


def permissions_in(jwt: str) -> Permissions:
    """The permissions that a user's JWT carries. Raises BadClaims."""
    body = read(jwt)["nats"]
    return Permissions(*(tuple(body.get(way, {}).get("allow", ())) for way in ("pub", "sub")))


def expiry(jwt: str) -> float | None:
    """When a JWT expires (a timestamp in seconds); None for one that does not. Raises BadClaims."""
    expires = read(jwt).get("exp")
    return float(expires) if expires else None


def _allow(subjects: tuple[str, ...]) -> dict[str, list[str]]:
    return {"allow": list(subjects)} if subjects else _NOTHING


def _signed(
    signer: KeyPair, subject: str, name: str, body: Mapping[str, Any], *, now: datetime, expires: datetime | None = None
) -> str:
    claims: dict[str, Any] = {
        "iat": int(now.timestamp()),
        "iss": signer.public,
        "sub": subject,
        "name": name,
        "nats": {**body, "version": VERSION},
    }
    if expires is not None:
        claims["exp"] = int(expires.timestamp())
    claims["jti"] = b32encode(hashlib.sha256(orjson.dumps(claims)).digest()).decode().rstrip("=")
    text = f"{_encoded(_HEADER)}.{_encoded(claims)}"
    return f"{text}.{_base64(signer.sign(text.encode()))}"


def _encoded(content: Mapping[str, Any]) -> str:
    return _base64(orjson.dumps(content))


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
