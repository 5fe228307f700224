"""Who may do what: the roles, who acts, and the form of a token.

A token is `hodei_`, 43 characters of base 62 (32 random bytes), and 6 more (their CRC-32), so that scanners recognise a
leaked one. Services keep the SHA-256 of its text. Here: these forms. Not here: making tokens at random and knowing them
(`shared.access`).
"""

import hashlib
import re
import zlib
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from schemas.ids import is_id
from schemas.model import EventModel, Id, Instant, Model, Name
from schemas.words import SHA256

PREFIX: Final = "hodei_"
SESSION_PREFIX: Final = "hodei-session."
"""The beginning of a browser session's bearer."""
SECRET_BYTES: Final = 32
"""The random bytes of a token."""
BODY: Final = 43
"""The characters of its random bytes."""
CHECKSUM: Final = 6
"""The characters of its checksum."""
LENGTH: Final = len(PREFIX) + BODY + CHECKSUM
"""The characters of a token."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOTHING_YET: Final = hashlib.sha256()
_FORM: Final = re.compile(f"{PREFIX}([0-9A-Za-z]{{{BODY}}})([0-9A-Za-z]{{{CHECKSUM}}})", re.ASCII)


class Role(StrEnum):
    """What a token may do. Each role includes those before it."""

    VIEWER = "viewer"
    """Reads."""
    SUBMITTER = "submitter"
    """Submits jobs, and cancels its own."""
    OPERATOR = "operator"
    """All jobs, pipelines, schedules and workers."""
    ADMIN = "admin"
    """Tokens and the audit log too."""

    def __init__(self, _value: str) -> None:
        self._rank = len(type(self).__members__)

    def covers(self, other: "Role") -> bool:
        """Whether this role includes `other`."""
        return self._rank >= other._rank


class Actor(EventModel):
    """The token for which a request acted: its id, and its name at that time."""

    id: Id = Field(description="The token's id.")
    name: str = Field(description="The token's name.")


class KnownToken(EventModel):
    """A token as every service knows it. `sha256` is that of its text, in hex."""

    token_id: str
    name: str
    role: Role
    sha256: str
    expires_at: Instant | None = None


class SessionKey(EventModel):
    """A key that signs bearers of sessions: its id of 8 bytes and the public key (Ed25519), both in hex."""

    key_id: str
    public_key: str
    expires_at: Instant


class EndedSession(EventModel):
    """A browser session that ended before its time."""

    session_id: str
    token_id: str


def _not_an_id(name: str) -> str:
    if is_id(name.lower()):
        raise ValueError("must not be a UUID: what a token did is found by its name or its id")
    return name


TokenName = Annotated[Name, AfterValidator(_not_an_id)]
"""What people call a token."""


class BootstrapToken(Model):
    """An entry of the file in HODEI_BOOTSTRAP_TOKENS: a token that was made before the platform's first start."""

    id: str
    name: TokenName
    role: Role
    sha256: Annotated[str, StringConstraints(pattern=SHA256)]

    @field_validator("id")
    @classmethod
    def _is_id(cls, given: str) -> str:
        if not is_id(given):
            raise ValueError("should be a UUID in lower case")
        return given


def token_of(secret: bytes) -> str:
    """The token of 32 random bytes. Raises ValueError for another number of bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token is made of {SECRET_BYTES} bytes")
    body = _base62(int.from_bytes(secret, "big"), BODY)
    return PREFIX + body + _checksum(body)


def check_form(text: str) -> bool:
    """Whether a text has the form of a token and the right checksum."""
    match = _FORM.fullmatch(text)
    return match is not None and _checksum(match[1]) == match[2]


def hash_of(token: str) -> bytes:
    """The SHA-256 of a token's text, by which services know it."""
    hashing = _NOTHING_YET.copy()  # OpenSSL looks an algorithm up each time that it is named, which takes longer
    hashing.update(token.encode("utf-8", "surrogateescape"))
    return hashing.digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
