"""The issuer of NATS credentials: signs users into the platform's account, and the account with its revocations.

Here: reading the issuer's folder, and signing. Not here: making the folder (`shared.keys.folder`), the permissions of
each user (`schemas.permissions`), and telling the servers of a revocation (`shared.bus.push_account`). The worker
manager is the issuer while the platform runs: it alone reads this folder (`HODEI_ISSUER_DIR`).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.permissions import Permissions
from shared import clock
from shared.errors import ConfigError
from shared.keys import claims
from shared.keys.credentials import Credentials
from shared.keys.files import read_text
from shared.keys.pairs import BadKey, KeyPair, Kind, check_public

OPERATOR_SEED: Final = "operator.seed"
ACCOUNT_SEED: Final = "account.seed"
SYSTEM_SEED: Final = "system-account.seed"
SYSTEM_CREDENTIALS: Final = "system.creds"
SERVICE_KEYS: Final = "service-keys.json"
"""The public keys of the platform's own users, by name: they are never a worker's, and never revoked."""


class Issuer:
    """The keys of the operator and of the platform's account. Raises ConfigError when the folder lacks one."""

    def __init__(self, folder: Path) -> None:
        self.system_credentials: Final = folder / SYSTEM_CREDENTIALS
        """The file of the credentials with which the account is pushed to the servers."""
        self._operator = read_seed(folder / OPERATOR_SEED, Kind.OPERATOR)
        self._account = read_seed(folder / ACCOUNT_SEED, Kind.ACCOUNT)
        self.service_keys: Final = _service_keys(folder / SERVICE_KEYS)
        """The public keys of the services and of the feed's reader; empty for a folder that an earlier version made,
        until `make` completes it."""

    @property
    def account(self) -> str:
        """The public key of the platform's account."""
        return self._account.public

    def user(
        self,
        public: str,
        name: str,
        permissions: Permissions,
        *,
        expires: datetime | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """A JWT for a user whose key was made elsewhere: only its public key is known here. Raises BadKey for a text
        that is not such a key."""
        return claims.user(
            self._account, check_public(public), name, permissions, now=clock.now(), expires=expires, tags=tags
        )

    def credentials(self, name: str, permissions: Permissions, *, expires: datetime | None = None) -> Credentials:
        """Credentials with a new key."""
        pair = KeyPair.new(Kind.USER)
        return Credentials(self.user(pair.public, name, permissions, expires=expires), pair.seed)

    def signed_account(self, name: str, revoked: Iterable[str], *, now: datetime) -> str:
        """The account's JWT, signed as of `now`, later than the one before. `revoked` are all revoked public keys of
        users: none is ever trusted again. One may go when all JWTs of its user have expired. The services' own keys
        are left out: otherwise the platform would lock itself out."""
        others = (key for key in revoked if key not in self.service_keys)
        return claims.account(self._operator, self._account.public, name, revoked=others, now=now)


def _service_keys(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    try:
        listed = json.loads(read_text(path))
        return frozenset(check_public(key) for key in listed.values())
    except (ValueError, AttributeError, TypeError, BadKey):
        raise ConfigError(f"{path}: should be the services' public keys, by name") from None


def read_seed(path: Path, kind: Kind) -> KeyPair:
    """The pair of the seed in a file. Raises ConfigError."""
    try:
        return KeyPair.of(read_text(path).strip(), kind)
    except BadKey as error:
        raise ConfigError(f"{path}: {error}") from None
