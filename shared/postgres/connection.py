"""One connection to PostgreSQL: its reset, its JSON codecs, whether it still answers, and the server's address.

`json` and `jsonb` columns take and give Python objects; a hot read selects `…::text` and passes it on unparsed.
"""

import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson

from shared.errors import ConfigError

Record = asyncpg.Record

PROOF_DEADLINE: Final = 2.0
"""Seconds within which a connection must answer after a failure; one that does not is closed."""

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]
    _AsyncpgConnection = asyncpg.Connection[Record]
else:  # generic in its stubs only
    _AsyncpgConnection = asyncpg.Connection


class Connection(_AsyncpgConnection):
    """A connection that is not reset after use, which saves a round trip: no statement here alters the session."""

    def get_reset_query(self) -> str:
        return ""

    def on_refusal(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the server refuses all writes."""
        self._refusal = listener

    def refused(self) -> None:
        """Call the listener, if there is one."""
        getattr(self, "_refusal", lambda: None)()


async def answers(connection: Connection) -> bool:
    """Whether the server still answers on this connection, after the current statement was cancelled."""
    try:
        await connection.execute("select true", timeout=PROOF_DEADLINE)
    except asyncpg.InFailedSQLTransactionError:
        return True  # an error of the server is an answer too
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


def address(dsn: str) -> str:
    """A server's address without user name and password: `host:port`, or a socket's folder."""
    url = urlsplit(dsn)
    if servers := url.netloc.rpartition("@")[2]:
        return servers if re.search(r":\d+$", servers) else f"{servers}:5432"
    return parse_qs(url.query).get("host", ["localhost"])[0]


def check_certificates(dsn: str) -> None:
    """Raise ConfigError if a file that the address names for TLS (`sslrootcert`, `sslcert`, `sslkey`) is not usable:
    asyncpg reports that as if the server did not answer."""
    options = parse_qs(urlsplit(dsn).query)
    for name in ("sslrootcert", "sslcert", "sslkey"):
        for path in options.get(name, []):
            try:
                with open(path, "rb"):
                    if name == "sslrootcert":
                        ssl.create_default_context(cafile=path)
            except ssl.SSLError as error:  # an OSError, too
                raise ConfigError(f"DATABASE_URL: {name}={path} should be certificates in PEM format") from error
            except OSError as error:
                raise ConfigError(f"DATABASE_URL: {name}={path}: {error.strerror}") from error


async def teach_json(connection: "RawConnection") -> None:
    """Make `json` and `jsonb` columns accept and return Python objects."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=orjson.dumps, decoder=orjson.loads, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)  # jsonb's wire form: a version byte, then the text


def _decode_jsonb(wire: bytes) -> object:
    return orjson.loads(wire[1:])
