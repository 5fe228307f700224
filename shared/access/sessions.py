"""Bearers of browser sessions: signed by the orchestrator, verified by every service, valid for ten minutes.

Here: their form, and `Sessions`, what a process knows in memory: the public keys, and which sessions have ended. A
bearer acts for the token with which its session was opened, and is refused once that token is. Not here: sessions and
their cookies, which only the orchestrator knows.
"""

import base64
import binascii
import struct
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from schemas.access import SESSION_PREFIX, EndedSession, SessionKey, hash_of
from shared.access.known import KnownTokens
from shared.access.principal import Principal

LIFETIME: Final = 600.0
"""Seconds for which a bearer is valid."""
MOST_VERIFIED: Final = 4096
"""The bearers that a process remembers as verified."""
MOST_ENDED: Final = 10_000
"""The ended sessions that a process remembers, each for as long as its bearers may be valid."""
MOST_KEYS: Final = 1000

_CONTEXT: Final = b"hodei session bearer 1\0"
"""Signed before the content, so that a signature is good for nothing else."""
_CONTENT: Final = struct.Struct(">8s16s16sQ")
"""The key's id, the session's, the token's, and the second at which the bearer expires."""
_SIGNATURE: Final = 64


class _Claims(NamedTuple):
    key_id: bytes
    session_id: str
    token_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Key:
    verify: VerifyKey
    expires_at: datetime


def sign_bearer(key: SigningKey, key_id: bytes, *, session_id: str, token_id: str, expires_at: datetime) -> str:
    """A bearer of a session; `key_id` has 8 bytes."""
    content = _CONTENT.pack(key_id, uuid.UUID(session_id).bytes, uuid.UUID(token_id).bytes, int(expires_at.timestamp()))
    signature = key.sign(_CONTEXT + content).signature
    return SESSION_PREFIX + base64.urlsafe_b64encode(content + signature).decode().rstrip("=")


class Sessions:
    """Not thread-safe; everything runs on one event loop."""

    def __init__(self, tokens: KnownTokens, *, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock
        self._keys: OrderedDict[bytes, _Key] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._verified: OrderedDict[bytes, _Claims] = OrderedDict()

    def find(self, text: str) -> Principal | None:
        """The principal of a bearer. None if its signature is not valid, its session has ended or its token is not
        known any more. Its `expires_at` is for the caller to check."""
        digest = hash_of(text)
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(text)
            if claims is None:
                return None
            self._verified[digest] = claims
            if len(self._verified) > MOST_VERIFIED:
                self._verified.popitem(last=False)
        if claims.session_id in self._ended:
            return None
        found = self._tokens.of_id(claims.token_id)
        if found is None:
            return None
        ends = claims.expires_at if found.expires_at is None else min(found.expires_at, claims.expires_at)
        return replace(found, expires_at=ends, session_id=claims.session_id)

    def learn(self, key: SessionKey) -> None:
        """Accept bearers that this key signs."""
        self._keys[bytes.fromhex(key.key_id)] = _Key(VerifyKey(bytes.fromhex(key.public_key)), key.expires_at)
        while len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)

    def end(self, session: EndedSession) -> None:
        """Refuse the bearers of this session from now on."""
        self._ended[session.session_id] = self._clock() + LIFETIME + 60.0
        while len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def forget(self) -> None:
        """Forget keys and ended sessions that have no valid bearers any more."""
        moment = self._clock()
        for session_id in [one for one, until in self._ended.items() if until <= moment]:
            del self._ended[session_id]
        for key_id in [one for one, key in self._keys.items() if key.expires_at.timestamp() <= moment]:
            del self._keys[key_id]

    def _verify(self, text: str) -> _Claims | None:
        try:
            signed = base64.b64decode(text.removeprefix(SESSION_PREFIX) + "==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(signed) != _CONTENT.size + _SIGNATURE:
            return None
        content, signature = signed[: _CONTENT.size], signed[_CONTENT.size :]
        key_id, session, token, seconds = _CONTENT.unpack(content)
        key = self._keys.get(key_id)
        if key is None or key.expires_at.timestamp() <= self._clock():
            return None
        try:
            key.verify.verify(_CONTEXT + content, signature)
        except BadSignatureError:
            return None
        expires_at = datetime.fromtimestamp(seconds, UTC)
        return _Claims(key_id, str(uuid.UUID(bytes=session)), str(uuid.UUID(bytes=token)), expires_at)


class Bearers:
    """Everything that may stand in `Authorization: Bearer`: tokens, and the bearers of sessions."""

    def __init__(self, tokens: KnownTokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    @property
    def complete(self) -> bool:
        """Whether one that is not found can be refused."""
        return self._tokens.complete

    def find(self, text: str) -> Principal | None:
        """The principal; None for an unknown or revoked one."""
        return self._sessions.find(text) if text.startswith(SESSION_PREFIX) else self._tokens.find(text)
