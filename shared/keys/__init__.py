"""The keys of a platform: made once into a folder, and the signing of NATS credentials with them.

Other packages import from here; the modules inside are private. `python -m shared.keys make DIR` makes the folder.
Every process of the platform imports this package, so `cryptography`, which takes nine megabytes, is imported only
where certificates are made.
"""

from shared.keys import claims
from shared.keys.bounds import BOUNDED, Bounds, bounds_in, bounds_tag
from shared.keys.claims import BadClaims, expiry
from shared.keys.credentials import Credentials
from shared.keys.files import keep_private, private_folder, read_text, write_private
from shared.keys.folder import (
    FEED_CREDENTIALS,
    ISSUER,
    JOIN,
    NATS,
    OPERATOR_CONF,
    TLS,
    TOKENS,
    make,
    service_credentials,
)
from shared.keys.issuer import Issuer
from shared.keys.pairs import BadKey, KeyPair, Kind, check_public, verifies

__all__ = [
    "BOUNDED",
    "FEED_CREDENTIALS",
    "ISSUER",
    "JOIN",
    "NATS",
    "OPERATOR_CONF",
    "TLS",
    "TOKENS",
    "BadClaims",
    "BadKey",
    "Bounds",
    "Credentials",
    "Issuer",
    "KeyPair",
    "Kind",
    "bounds_in",
    "bounds_tag",
    "check_public",
    "claims",
    "expiry",
    "keep_private",
    "make",
    "private_folder",
    "read_text",
    "service_credentials",
    "verifies",
    "write_private",
]
