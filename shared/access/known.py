"""The tokens that a process knows, in memory: each request is checked against them, and no service is asked.

Here: `KnownTokens`, a table from the SHA-256 of a token's text to its principal. Not here: how a process learns of
tokens (`sync`), and what a request needs (`shared.web.guard`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest

from schemas.access import hash_of
from shared.access.principal import Principal


@dataclass(slots=True)
class _Known:
    digest: bytes
    principal: Principal
    used_at: float | None = None

    def note_use(self) -> None:
        """A token that has expired is refused, which is not a use."""
        moment, expires_at = time.time(), self.principal.expires_at
        if expires_at is None or expires_at.timestamp() > moment:
            self.used_at = moment


class KnownTokens:
    """Not thread-safe; everything runs on one event loop."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, _Known] = {}
        self._by_id: dict[str, _Known] = {}
        self.complete = True
        """Whether a token that is not here can be refused: False until a process has read the whole list once."""

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, text: str) -> Principal | None:
        """The principal of a token's text, and note that it is in use unless it has expired. None for an unknown or
        revoked token. Its `expires_at` is for the caller to check."""
        digest = hash_of(text)
        known = self._by_digest.get(digest)
        # The time of a lookup depends on the digest, which an attacker cannot choose; equality still takes as long
        # for a near miss as for a far one.
        if known is None or not compare_digest(known.digest, digest):
            return None
        known.note_use()
        return known.principal

    def of_id(self, token_id: str) -> Principal | None:
        """The principal of the token with this id, as `find` returns it."""
        known = self._by_id.get(token_id)
        if known is None:
            return None
        known.note_use()
        return known.principal

    def put(self, digest: bytes, principal: Principal) -> None:
        """Learn of a token, or of its new name or role."""
        known = self._by_digest.get(digest)
        if known is None:
            known = self._by_digest[digest] = _Known(digest, principal)
        else:
            known.principal = principal
        self._by_id[principal.id] = known

    def replace(self, tokens: Mapping[bytes, Principal]) -> None:
        """Know exactly these tokens."""
        for digest in self._by_digest.keys() - tokens.keys():
            self.forget(digest)
        for digest, principal in tokens.items():
            self.put(digest, principal)

    def forget(self, digest: bytes) -> None:
        """Refuse this token from now on."""
        known = self._by_digest.pop(digest, None)
        if known is not None and self._by_id.get(known.principal.id) is known:
            del self._by_id[known.principal.id]

    def used_since(self, moment: float) -> dict[str, float]:
        """When each token was last used that was used since this time; both as seconds since 1970."""
        return {
            known.principal.id: known.used_at
            for known in self._by_digest.values()
            if known.used_at is not None and known.used_at >= moment
        }
