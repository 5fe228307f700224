"""Credentials: a user's JWT and the seed of its key, as the text that NATS clients read (a `.creds` file).

Here: that text, written and read. Not here: signing (`shared.keys.claims`). The seed never leaves the machine for which
the credentials are: NATS sends a nonce, and the client signs it.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.errors import ConfigError
from shared.keys import claims
from shared.keys.files import read_text
from shared.keys.pairs import BadKey, KeyPair, Kind

_JWT: Final = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+")
_SEED: Final = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+")


@dataclass(frozen=True)
class Credentials:
    """A user's JWT and its seed. The seed is left out of the representation."""

    jwt: str
    seed: str = field(repr=False)

    @property
    def public(self) -> str:
        """The user's public key."""
        return str(claims.read(self.jwt)["sub"])

    @property
    def name(self) -> str:
        return str(claims.read(self.jwt)["name"])

    @property
    def issuer(self) -> str:
        """The public key of the account that signed them."""
        return str(claims.read(self.jwt)["iss"])

    @property
    def tags(self) -> tuple[str, ...]:
        """What the issuer tells the services beside the permissions."""
        return tuple(claims.read(self.jwt)["nats"].get("tags", ()))

    @property
    def issued(self) -> float:
        """When they were signed (a timestamp in seconds)."""
        return float(claims.read(self.jwt)["iat"])

    @property
    def expiry(self) -> float | None:
        """When they expire (a timestamp in seconds); None if they do not."""
        return claims.expiry(self.jwt)

    def text(self) -> str:
        """The content of a `.creds` file."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "Whoever has this seed can act as this user. Keep it secret.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Read the content of a `.creds` file. Raises ConfigError, which repeats nothing of it."""
        jwt, seed = _JWT.search(text), _SEED.search(text)
        if jwt is None or seed is None:
            raise ConfigError("these are not the credentials of a NATS user: they need a JWT and a seed")
        try:
            found = cls(jwt[1], seed[1])
            right = found.public == KeyPair.of(found.seed, Kind.USER).public
        except (BadKey, claims.BadClaims) as error:
            raise ConfigError(f"these are not the credentials of a NATS user: {error}") from None
        if not right:
            raise ConfigError("these are not the credentials of a NATS user: the seed is another user's")
        return found

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """Read a `.creds` file. Raises ConfigError."""
        try:
            return cls.parse(read_text(path))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
