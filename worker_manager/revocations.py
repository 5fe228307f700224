"""Tells the servers of NATS which keys to refuse.

The list is in PostgreSQL. It is pushed whole: right after a revocation, whenever NATS comes back, and every few
minutes, since a server may have lost its folder. One process at a time does this, so that no older list replaces a
newer one.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson
import structlog

from schemas.subjects import Catalogue
from shared.bus import BusError, Errand, run_errand
from shared.clock import now
from shared.keys import Credentials, Issuer
from shared.outbox import Outbox
from shared.service import Counts, Loop
from worker_manager.counters import EnrolmentCounters
from worker_manager.store.enrolment import EnrolmentStore

log = structlog.get_logger(__name__)

UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
PUSH_EVERY: Final = 300.0
MANY: Final = 10_000
"""Revoked keys from which on the log warns: the list is one message."""

Push = Callable[[Collection[str], datetime], Awaitable[None]]
"""Hands the revoked keys to the servers, in an account that is signed as of a time."""


class Revocations(Loop):
    """Pushes the list with `push`, which raises BusUnavailable when no server takes it."""

    def __init__(
        self,
        store: EnrolmentStore,
        outbox: Outbox,
        push: Push,
        counters: EnrolmentCounters,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        super().__init__("revocations", interval=PUSH_EVERY)
        self._store = store
        self._outbox = outbox
        self._push = push
        self._clock = clock
        self._counters = counters

    def bus_changed(self, connected: bool) -> None:
        """A server may have started without its folder."""
        if connected:
            self.wake()

    async def run_once(self) -> Counts:
        """Delete what nothing needs any more, then push the list, an empty one too. Returns the number of keys."""
        purged = await self._store.purge()
        async with self._outbox.database.transaction() as tx:
            revoked = await self._store.revocations(tx)
            await self._push(revoked, await self._store.sign_account(tx, now=self._clock()))
        if len(revoked) >= MANY:
            log.warning("revocations.many", keys=len(revoked))
        workers, expiring = await self._store.count()
        self._counters.revoked_keys.set(len(revoked))
        self._counters.enrolled_workers.set(workers)
        self._counters.credentials_expiring.set(expiring)
        return {"revoked": len(revoked), "purged": purged}


class AccountPusher:
    """Signs the platform's account with its revoked keys, and hands it to the servers. `url` and `ca` are those of the
    bus."""

    def __init__(self, issuer: Issuer, *, url: str, ca: Path | None, catalogue: Catalogue) -> None:
        self._issuer = issuer
        self._url = url
        self._ca = ca
        self._catalogue = catalogue

    async def push(self, revoked: Collection[str], signed_at: datetime) -> None:
        """Raises BusUnavailable when no server takes it, and BusError when one refuses it, or for more keys than a
        message of the server has room for."""
        if own := self._issuer.service_keys.intersection(revoked):
            log.error("revocations.service_keys", keys=len(own))  # the issuer leaves them out
        errand = Errand(
            Credentials.read(self._issuer.system_credentials),
            self._catalogue.inbox("system"),
            UPDATE,
            self._issuer.signed_account(self._catalogue.namespace, revoked, now=signed_at).encode(),
        )
        answer = orjson.loads(await run_errand(self._url, errand, name="worker-manager-revocations", ca=self._ca))
        if error := answer.get("error"):
            raise BusError(UPDATE, str(error.get("description")), int(error.get("code", 0)))
