"""Key pairs of NATS (nkeys): Ed25519 keys in base32, whose first letter tells what they are of.

An account's public key begins with A, an operator's with O, a user's with U, and their seeds with SA, SO and SU.
"""

import secrets
from base64 import b32decode
from enum import Enum
from typing import Final, Self

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from shared.errors import HodeiError

SEED_BYTES: Final = 32
PUBLIC_CHARACTERS: Final = 56
_PUBLIC_BYTES: Final = 35
"""A public key with its prefix and a checksum of two bytes."""


class BadKey(HodeiError):
    """A text is not the key that it should be. The message does not repeat the text."""


class Kind(Enum):
    """What a key is of; the value is the prefix of its encoding."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER


class KeyPair:
    """A private key and its public key. Only `seed` shows the private one."""

    def __init__(self, pair: nkeys.KeyPair, seed: str) -> None:
        self._pair = pair
        self.seed: Final = seed
        self.public: Final[str] = bytes(pair.public_key).decode()

    @classmethod
    def new(cls, kind: Kind) -> Self:
        """Make a pair of 32 random bytes."""
        return cls.of(bytes(nkeys.encode_seed(secrets.token_bytes(SEED_BYTES), kind.value)).decode(), kind)

    @classmethod
    def of(cls, seed: str, kind: Kind) -> Self:
        """The pair of a seed. Raises BadKey for any other text, and for the seed of another kind."""
        try:
            raw = seed.encode("ascii")
            prefix, _ = nkeys.decode_seed(raw)
            whole = b32decode(raw + b"=" * (-len(raw) % 8))
            if prefix != kind.value or nkeys.crc16_checksum(whole[:-2]) != whole[-2:]:
                raise BadKey(f"this is not the seed of one {_spoken(kind)}")
            return cls(nkeys.from_seed(raw), seed)
        except (nkeys.NkeysError, ValueError, IndexError):
            raise BadKey(f"this is not the seed of one {_spoken(kind)}") from None

    def sign(self, message: bytes) -> bytes:
        return bytes(self._pair.sign(message))

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def check_public(text: str, kind: Kind = Kind.USER) -> str:
    """The public key in this text, which is the text. Raises BadKey for anything else."""
    try:
        raw = b32decode(text.encode("ascii")) if len(text) == PUBLIC_CHARACTERS else b""
    except ValueError:
        raw = b""
    if len(raw) != _PUBLIC_BYTES or raw[0] != kind.value or nkeys.crc16_checksum(raw[:-2]) != raw[-2:]:
        raise BadKey(f"this is not the public key of one {_spoken(kind)}")
    return text


def verifies(public: str, message: bytes, signature: bytes) -> bool:
    """Whether this is a signature of the message with the private key of `public`, a key of any kind."""
    try:
        VerifyKey(raw_public(public)).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def raw_public(text: str) -> bytes:
    """The 32 bytes of a public key in base32, of any kind. Raises ValueError for a text of another length."""
    raw = b32decode(text.encode("ascii"))
    if len(raw) != _PUBLIC_BYTES:
        raise ValueError("not a public key")
    return raw[1:-2]


def _spoken(kind: Kind) -> str:
    return f"NATS {kind.name.lower()}"
