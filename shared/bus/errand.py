"""One request to NATS on a connection of its own, with other credentials than those of the process.

A worker asks for enrolment and renewal this way, and the worker manager pushes revocations. The connection is made,
asks, and is closed, all within the deadline. `knock` asks nothing, but learns whether NATS admits a user.
"""

import asyncio
import base64
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nats import errors as nats_errors

from shared.bus.admission import not_admitted
from shared.bus.errors import BusError, TooLarge
from shared.bus.wire import WireClient
from shared.errors import BusUnavailable
from shared.keys import Credentials, KeyPair, Kind

DEADLINE: Final = 5.0
"""Default deadline of an errand, in seconds."""
CANCELLATIONS: Final = 5


class NotAdmitted(BusError):
    """The NATS server does not accept these credentials: they have expired, were revoked, or are of another
    platform."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One request: `inbox` is the beginning of the subjects on which the user may hear an answer."""

    credentials: Credentials
    inbox: str
    subject: str
    payload: bytes = field(repr=False)


class _Shown:
    """Credentials as a client shows them to the server."""

    def __init__(self, credentials: Credentials) -> None:
        self._jwt = credentials.jwt
        self._pair = KeyPair.of(credentials.seed, Kind.USER)

    def jwt(self) -> bytes:
        return self._jwt.encode()

    def sign(self, nonce: str) -> bytes:
        return base64.b64encode(self._pair.sign(nonce.encode()))


async def run_errand(
    url: str, errand: Errand, *, name: str, ca: Path | None = None, deadline: float = DEADLINE
) -> bytes:
    """Connect as `Connection` does, ask, and return the answer.

    Raises NotAdmitted, TooLarge when the server takes no message of that size, and BusUnavailable when no server or
    service answers within `deadline` seconds.
    """
    answer = await _whole(_run(url, errand.credentials, errand, name, ca, deadline), name)
    assert answer is not None  # since there is an errand
    return answer


async def knock(
    url: str, credentials: Credentials | None, *, name: str, ca: Path | None = None, deadline: float = DEADLINE
) -> None:
    """Connect with these credentials, or without any, and close the connection.

    Raises NotAdmitted, and BusUnavailable when no server answers within `deadline` seconds.
    """
    await _whole(_run(url, credentials, None, name, ca, deadline), name)


async def _whole(run: Coroutine[Any, Any, bytes | None], name: str) -> bytes | None:
    running = asyncio.create_task(run, name=f"errand {name}")
    try:
        await asyncio.wait({running})
    finally:
        # nats-py 2.16 drops a cancellation that comes while it writes, so one may not be enough.
        for _ in range(CANCELLATIONS):
            if running.done():
                break
            running.cancel()
            await asyncio.wait({running}, timeout=0.2)
    return running.result()


async def _run(
    url: str, credentials: Credentials | None, errand: Errand | None, name: str, ca: Path | None, deadline: float
) -> bytes | None:
    servers = [part.strip() for part in url.split(",") if part.strip()]
    client = WireClient(tls=ca is not None or any(server.startswith("tls://") for server in servers), ca=ca)
    refused = asyncio.Event()
    shown = None if credentials is None else _Shown(credentials)
    what = "connect" if errand is None else errand.subject

    async def note(error: Exception) -> None:
        if isinstance(error, nats_errors.Error) and not_admitted(str(error)):
            refused.set()

    try:
        async with asyncio.timeout(deadline):
            await client.connect(
                servers=servers,
                name=name,
                allow_reconnect=False,
                connect_timeout=2,
                error_cb=note,
                inbox_prefix=(errand.inbox if errand else "_INBOX").encode(),
                user_jwt_cb=None if shown is None else shown.jwt,
                signature_cb=None if shown is None else shown.sign,
            )
            if errand is None:
                return None
            return (await client.request(errand.subject, errand.payload, timeout=deadline)).data
    except nats_errors.NoRespondersError as error:
        raise BusUnavailable(f"{what}: no service answers") from error
    except nats_errors.MaxPayloadError as error:
        asked = 0 if errand is None else len(errand.payload)
        size = f"{asked:,} bytes are more than this server's max_payload of {client.max_payload:,}: raise it"
        raise TooLarge(what, size) from error
    except (TimeoutError, nats_errors.Error, OSError) as error:
        if refused.is_set() or not_admitted(str(error)):
            raise NotAdmitted(what, "NATS does not accept these credentials") from error
        raise BusUnavailable(f"{what}: {str(error) or 'no answer'}") from error
    finally:
        await client.close()
