"""Gives workers and subscribers their credentials for the bus, and takes them away.

Here: `Enrolments`, the transactions around the rules of `domain.enrolment`. Not here: requests over the bus
(`registrar`) and over REST (`api.join_tokens`, `api.credentials`), and telling NATS of revoked keys (`revocations`).
"""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from schemas import permissions
from schemas.access import Actor
from schemas.cloudevents import CloudEvent
from schemas.enrolment import CREDENTIALS_LIFE, RENEWAL_LIFE, Enrol, Grant, JoinTokenText, Refusal, Renew, proof_text
from schemas.events import EventData, WorkerEnrolled, WorkerOffline, WorkerRevoked
from schemas.rest.enrolment import JoinTokenCreate
from schemas.subjects import Catalogue
from shared.clock import now
from shared.errors import Conflict, FieldError, Invalid
from shared.ids import new_id
from shared.keys import BadKey, Credentials, Issuer, KeyPair, Kind, bounds_tag, check_public, verifies
from shared.outbox import Outbox, OutboxTransaction
from worker_manager.counters import EnrolmentCounters
from worker_manager.domain.enrolment import Holder, Refused, admit, may_renew
from worker_manager.providers.base import WorkerKeys
from worker_manager.store.enrolment import EnrolmentStore

log = structlog.get_logger(__name__)

OWN_RENEWAL_LIFE: Final = 7 * 24 * 3600
"""The same as RENEWAL_LIFE for workers that the worker manager started: many come and go, and each is a row until
then."""
JOIN_TOKEN_LIFE: Final = timedelta(hours=1)


class Enrolments:
    """The issuer's desk. Without an `issuer` NATS asks for no credentials, and there are none to give."""

    def __init__(
        self,
        store: EnrolmentStore,
        outbox: Outbox,
        issuer: Issuer | None,
        catalogue: Catalogue,
        counters: EnrolmentCounters,
        *,
        revoked: Callable[[], None],
        clock: Callable[[], datetime] = now,
        life: float = CREDENTIALS_LIFE,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._issuer = issuer
        self._catalogue = catalogue
        self._counters = counters
        self._revoked = revoked
        self._clock = clock
        self._life = life

    @property
    def issuer(self) -> Issuer:
        """Raises Conflict, with the reason, without one."""
        if self._issuer is None:
            raise Conflict(
                "this worker manager gives out no credentials, because it has no keys (HODEI_ISSUER_DIR is not set); "
                "NATS decides who may connect"
            )
        return self._issuer

    # -- workers

    async def enrol(self, join_token_id: str, claim: Enrol) -> Grant:
        """Decide about a worker that asks with the user of this join token."""
        try:
            check_public(claim.user_key)
        except BadKey as error:
            return self._refuse(Refused(Refusal.UNREADABLE, str(error)), worker_id=claim.worker_id)
        if not _is_proven(claim, join_token_id):
            unproven = Refused(Refusal.UNPROVEN_KEY, "the request is not signed with this worker's key")
            return self._refuse(unproven, worker_id=claim.worker_id, join_token_id=join_token_id)
        async with self._outbox.transaction() as tx:
            ticket = await self._store.ticket(tx, join_token_id)
            member = await self._store.member(tx, claim.worker_id)
            holder = await self._store.holder(tx, claim.user_key, claim.worker_id)
            if claim.user_key in self.issuer.service_keys:
                holder = Holder("service")
            decided = admit(ticket, claim, member, self._clock(), holder=holder)
            if isinstance(decided, Refused):
                return self._refuse(decided, worker_id=claim.worker_id, join_token_id=join_token_id)
            assert ticket is not None  # otherwise it is refused
            grant = self._grant(claim.worker_id, claim.user_key, RENEWAL_LIFE, bounds_tag(ticket.type, ticket.labels))
            if not await self._store.enrol(
                tx,
                claim.worker_id,
                claim.user_key,
                claim.name,
                ticket=ticket,
                expires_at=self._in(self._life),
                renewable_until=self._in(RENEWAL_LIFE),
            ):
                taken = Refused(Refusal.OTHER_WORKER, f"worker {claim.worker_id} has enrolled with another key")
                return self._refuse(taken, worker_id=claim.worker_id, join_token_id=join_token_id)
            if decided.counts:
                await self._store.use(tx, ticket.id)
                tx.emit(_enrolled(claim, join_token_id))
        self._counters.enrolled.inc()
        log.info("worker.enrolled", worker_id=claim.worker_id, join_token_id=join_token_id)
        return grant

    async def renew(self, worker_id: str, ask: Renew) -> Grant:
        """Give a worker that has enrolled new credentials for the same key."""
        async with self._outbox.transaction() as tx:
            member = await self._store.member(tx, worker_id)
            refused = may_renew(member, worker_id, ask.user_key)
            if refused is not None or member is None:
                return self._refuse(refused, worker_id=worker_id) if refused else Grant(refusal=Refusal.OTHER_WORKER)
            life = OWN_RENEWAL_LIFE if member.join_token_id is None else RENEWAL_LIFE
            grant = self._grant(worker_id, ask.user_key, life, bounds_tag(member.type, member.labels))
            await self._store.renew(tx, worker_id, expires_at=self._in(self._life), renewable_until=self._in(life))
        self._counters.renewed.inc()
        log.debug("worker.credentials_renewed", worker_id=worker_id)
        return grant

    async def for_own(self, worker_id: str, name: str) -> WorkerKeys | None:
        """Enrol a worker that this service is about to start. None without an issuer."""
        if self._issuer is None:
            return None
        pair = KeyPair.new(Kind.USER)
        grant = self._grant(worker_id, pair.public, OWN_RENEWAL_LIFE, bounds_tag(None, None))
        async with self._outbox.transaction() as tx:
            await self._store.enrol(
                tx,
                worker_id,
                pair.public,
                name,
                ticket=None,
                expires_at=self._in(self._life),
                renewable_until=self._in(OWN_RENEWAL_LIFE),
            )
        assert grant.jwt is not None
        assert grant.renewal_jwt is not None
        self._counters.enrolled.inc()
        return WorkerKeys(Credentials(grant.jwt, pair.seed).text(), Credentials(grant.renewal_jwt, pair.seed).text())

    async def revoke(self, tx: OutboxTransaction, worker_id: str, *, by: Actor | None, detail: str) -> bool:
        """Refuse a worker from the commit on. Returns False when it has no credentials, or they were revoked before."""
        name = await self._store.revoke_worker(tx, worker_id, by=by)
        if name is None:
            return False
        tx.emit(WorkerRevoked(worker_id=worker_id, name=name, detail=detail, revoked_by=by))
        self._told(tx)
        return True

    async def retire(self, tx: OutboxTransaction, worker_id: str) -> None:
        """Refuse the key of a worker of this service that ended. Does nothing for one that has none."""
        if await self._store.revoke_worker(tx, worker_id, by=None) is not None:
            self._told(tx)

    async def handle_removals(self, events: Sequence[CloudEvent[EventData]]) -> None:
        """Handler of `worker-manager-removals`: revoke the workers that were removed over REST."""
        gone = [data for event in events if isinstance(data := event.data, WorkerOffline) and data.removed]
        removed = {data.worker_id: data.removed_by for data in gone}
        if not removed or self._issuer is None:
            return
        async with self._outbox.transaction() as tx:
            for worker_id, by in sorted(removed.items()):
                await self.revoke(tx, worker_id, by=by, detail="removed over REST")

    # -- join tokens and read-only credentials

    async def make_join_token(
        self, tx: OutboxTransaction, wanted: JoinTokenCreate, *, by: Actor | None
    ) -> tuple[str, str]:
        """Make a join token. Returns it as JSON, without its text, and the text. Raises Conflict without an issuer,
        Invalid for a time that is over."""
        issuer, id, pair = self.issuer, new_id(), KeyPair.new(Kind.USER)
        expires_at = self._ahead(wanted.expires_at) or self._clock() + JOIN_TOKEN_LIFE
        jwt = issuer.user(pair.public, id, permissions.enrolment(self._catalogue, id), expires=expires_at)
        body = await self._store.insert_join_token(tx, id, pair.public, wanted, expires_at=expires_at, by=by)
        tx.changes(id)
        return body, JoinTokenText(id, jwt, pair.seed).text

    async def revoke_join_token(self, tx: OutboxTransaction, id: str) -> None:
        """Refuse a join token from the commit on; workers that enrolled with it stay."""
        if await self._store.revoke_join_token(tx, id):
            tx.changes(id)
            self._told(tx)

    async def make_credentials(
        self,
        tx: OutboxTransaction,
        name: str,
        subjects: Sequence[str] | None,
        *,
        expires_at: datetime | None,
        by: Actor | None,
    ) -> tuple[str, str]:
        """Make read-only credentials. Returns them as JSON, without their text, and the text. Raises Conflict without
        an issuer, Invalid for a subject that may not be read or a time that is over."""
        issuer, id = self.issuer, new_id()
        try:
            allowed = permissions.feed(self._catalogue, subjects or ())
        except ValueError as error:
            raise Invalid([FieldError(("body", "subjects"), str(error), "subject")]) from None
        made = issuer.credentials(id, allowed, expires=self._ahead(expires_at))
        body = await self._store.insert_credentials(
            tx, id, name, made.public, list(allowed.subscribe), expires_at=expires_at, by=by
        )
        tx.changes(id)
        return body, made.text()

    async def revoke_credentials(self, tx: OutboxTransaction, id: str) -> None:
        """Refuse read-only credentials from the commit on."""
        if await self._store.revoke_credentials(tx, id):
            tx.changes(id)
            self._told(tx)

    # -- steps

    def _grant(self, worker_id: str, user_key: str, renewal_life: float, bounds: str) -> Grant:
        expires_at = self._in(self._life)
        agent = permissions.agent(self._catalogue, worker_id)
        renewal = permissions.renewal(self._catalogue, worker_id)
        return Grant(
            jwt=self.issuer.user(user_key, worker_id, agent, expires=expires_at, tags=[bounds]),
            renewal_jwt=self.issuer.user(user_key, worker_id, renewal, expires=self._in(renewal_life)),
            expires_at=expires_at,
        )

    def _refuse(self, refused: Refused, **ids: str) -> Grant:
        self._counters.enrolments_refused.labels(refused.reason.value).inc()
        log.warning("worker.not_enrolled", reason=refused.detail, **ids)
        return Grant(refusal=refused.reason, detail=refused.detail)

    def _told(self, tx: OutboxTransaction) -> None:
        tx.on_commit(self._revoked)

    def _in(self, seconds: float) -> datetime:
        return self._clock() + timedelta(seconds=seconds)

    def _ahead(self, moment: datetime | None) -> datetime | None:
        if moment is not None and moment <= self._clock():
            raise Invalid([FieldError(("body", "expires_at"), "is over already", "past")])
        return moment


def _is_proven(claim: Enrol, join_token_id: str) -> bool:
    """Whether the worker that asks has the private key of the key that it claims."""
    text = proof_text(join_token_id, claim.worker_id, claim.user_key)
    return verifies(claim.user_key, text, base64.b64decode(claim.proof))


def _enrolled(claim: Enrol, join_token_id: str) -> WorkerEnrolled:
    return WorkerEnrolled(
        worker_id=claim.worker_id,
        name=claim.name,
        type=claim.type,
        labels=claim.labels,
        join_token_id=join_token_id,
    )
