"""Join tokens, the workers that enrolled, read-only credentials, and revoked keys: one method for each statement.
`domain.enrolment` decides who is admitted."""

from datetime import datetime
from typing import Final

from schemas.access import Actor
from schemas.ids import is_id
from schemas.rest.enrolment import CredentialsQuery, EnrolmentQuery, JoinTokenCreate, JoinTokenQuery
from schemas.rest.lists import of_actor
from shared.postgres import Database, Page, Runner, load_queries, narrowed_by, with_values
from worker_manager.domain.enrolment import Holder, Member, Ticket

PAGE: Final = 1000
"""Rows that are deleted at a time."""


class EnrolmentStore:
    """Who may speak on the bus. No row has a secret."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._sql = load_queries("worker_manager")

    # -- join tokens

    async def insert_join_token(
        self, on: Runner, id: str, user_key: str, wanted: JoinTokenCreate, *, expires_at: datetime, by: Actor | None
    ) -> str:
        """Insert a join token. Returns it as JSON."""
        sql, arguments = with_values(
            self._sql["insert_join_token"],
            id=id,
            name=wanted.name,
            user_key=user_key,
            type=wanted.type,
            labels=wanted.labels,
            max_uses=wanted.max_uses,
            created_by=_row(by),
            expires_at=expires_at,
        )
        body: str = await on.fetch_value(sql, *arguments)
        return body

    async def take_join_token(
        self, on: Runner, id: str, user_key: str, wanted: JoinTokenCreate, *, expires_at: datetime
    ) -> bool:
        """Insert a join token that was made elsewhere. Returns False when the table has it."""
        sql, arguments = with_values(
            self._sql["take_join_token"],
            id=id,
            name=wanted.name,
            user_key=user_key,
            type=wanted.type,
            labels=wanted.labels,
            max_uses=wanted.max_uses,
            expires_at=expires_at,
        )
        return await on.fetch_value(sql, *arguments) is not None

    async def join_token(self, id: str) -> str | None:
        """One join token as JSON."""
        body: str | None = await self.database.fetch_value(self._sql["get_join_token"], id)
        return body

    async def join_tokens(self, query: JoinTokenQuery, before: str | None) -> Page:
        values = {"before": before, "name": query.name, "state": query.state, "limit": query.limit + 1}
        values |= of_actor("created_by", query.created_by)
        sql, arguments = narrowed_by(self._sql["list_join_tokens"], values)
        return Page.of(await self.database.fetch(sql, *arguments), query.limit)

    async def revoke_join_token(self, on: Runner, id: str) -> bool:
        """Revoke a join token. Returns False when it does not exist or was revoked before."""
        row = await on.fetch_one(self._sql["revoke_join_token"], id)
        if row is not None:
            await self.revoke_key(on, row["user_key"], until=row["expires_at"])
        return row is not None

    async def ticket(self, on: Runner, id: str) -> Ticket | None:
        """A join token, locked."""
        row = await on.fetch_one(self._sql["lock_join_token"], id)
        return None if row is None else Ticket(**row)

    async def use(self, on: Runner, id: str) -> None:
        await on.execute(self._sql["use_join_token"], id)

    # -- workers

    async def member(self, on: Runner, worker_id: str) -> Member | None:
        """A worker that has enrolled, locked."""
        row = await on.fetch_one(self._sql["lock_enrolment"], worker_id)
        return None if row is None else Member(**row)

    async def holder(self, on: Runner, user_key: str, worker_id: str) -> Holder | None:
        """What has a key, beside this worker. Other transactions that ask for the same key wait for this one."""
        await on.execute(self._sql["lock_key"], user_key)
        row = await on.fetch_one(self._sql["find_key"], user_key, worker_id)
        return None if row is None else Holder(**row)

    async def enrol(
        self,
        on: Runner,
        worker_id: str,
        user_key: str,
        name: str,
        *,
        ticket: Ticket | None,
        expires_at: datetime,
        renewable_until: datetime,
    ) -> bool:
        """Insert a worker, or renew one. Returns False when another key has taken the id meanwhile."""
        sql, arguments = with_values(
            self._sql["enrol_worker"],
            worker_id=worker_id,
            user_key=user_key,
            name=name,
            join_token_id=None if ticket is None else ticket.id,
            type=None if ticket is None else ticket.type,
            labels=None if ticket is None or ticket.labels is None else dict(ticket.labels),
            expires_at=expires_at,
            renewable_until=renewable_until,
        )
        return await on.fetch_value(sql, *arguments) is not None

    async def renew(self, on: Runner, worker_id: str, *, expires_at: datetime, renewable_until: datetime) -> None:
        sql, arguments = with_values(
            self._sql["renew_enrolment"], worker_id=worker_id, expires_at=expires_at, renewable_until=renewable_until
        )
        await on.execute(sql, *arguments)

    async def revoke_worker(self, on: Runner, worker_id: str, *, by: Actor | None) -> str | None:
        """Revoke a worker's credentials. Returns its name, None when it has none or they were revoked before."""
        sql, arguments = with_values(self._sql["revoke_enrolment"], worker_id=worker_id, revoked_by=_row(by))
        row = await on.fetch_one(sql, *arguments)
        if row is None:
            return None
        await self.revoke_key(on, row["user_key"], until=row["expires_at"])
        return str(row["name"])

    async def enrolment(self, worker_id: str) -> str | None:
        """One worker's enrolment as JSON."""
        body: str | None = await self.database.fetch_value(self._sql["get_enrolment"], worker_id)
        return body

    async def enrolments(self, query: EnrolmentQuery, before: str | None) -> Page:
        if query.join_token_id is not None and not is_id(query.join_token_id):
            return Page.of([], query.limit)
        values = {
            "before": before,
            "join_token_id": query.join_token_id,
            "state": query.state,
            "limit": query.limit + 1,
        }
        sql, arguments = narrowed_by(self._sql["list_enrolments"], values)
        return Page.of(await self.database.fetch(sql, *arguments), query.limit)

    async def count(self) -> tuple[int, int]:
        """How many workers have credentials, and how many of those expire within six hours."""
        row = await self.database.fetch_one(self._sql["count_enrolments"])
        assert row is not None
        return row["workers"], row["expiring"]

    # -- read-only credentials

    async def insert_credentials(
        self,
        on: Runner,
        id: str,
        name: str,
        user_key: str,
        subjects: list[str],
        *,
        expires_at: datetime | None,
        by: Actor | None,
    ) -> str:
        """Insert read-only credentials. Returns them as JSON."""
        sql, arguments = with_values(
            self._sql["insert_credentials"],
            id=id,
            name=name,
            user_key=user_key,
            subjects=subjects,
            created_by=_row(by),
            expires_at=expires_at,
        )
        body: str = await on.fetch_value(sql, *arguments)
        return body

    async def credentials(self, id: str) -> str | None:
        """Read-only credentials as JSON."""
        body: str | None = await self.database.fetch_value(self._sql["get_credentials"], id)
        return body

    async def list_credentials(self, query: CredentialsQuery, before: str | None) -> Page:
        values = {"before": before, "name": query.name, "state": query.state, "limit": query.limit + 1}
        values |= of_actor("created_by", query.created_by)
        sql, arguments = narrowed_by(self._sql["list_credentials"], values)
        return Page.of(await self.database.fetch(sql, *arguments), query.limit)

    async def revoke_credentials(self, on: Runner, id: str) -> bool:
        """Revoke read-only credentials. Returns False when they do not exist or were revoked before."""
        row = await on.fetch_one(self._sql["revoke_credentials"], id)
        if row is not None:
            await self.revoke_key(on, row["user_key"], until=row["expires_at"])
        return row is not None

    # -- revoked keys

    async def revoke_key(self, on: Runner, user_key: str, *, until: datetime | None) -> None:
        """Have a key refused for as long as something that was signed for it is valid; None: for ever."""
        sql, arguments = with_values(self._sql["insert_revocation"], user_key=user_key, until=until)
        await on.execute(sql, *arguments)

    async def revocations(self, on: Runner) -> list[str]:
        """The revoked keys, locked: the transaction ends when the servers have them."""
        await on.execute(self._sql["lock_revocations"])
        return [row["user_key"] for row in await on.fetch(self._sql["list_revocations"])]

    async def sign_account(self, on: Runner, *, now: datetime) -> datetime:
        """The time with which to sign the account that is pushed next: later than that of every one before."""
        sql, arguments = with_values(self._sql["sign_account"], now=now)
        signed_at: datetime = await on.fetch_value(sql, *arguments)
        return signed_at

    async def purge(self) -> int:
        """Delete rows that nothing needs any more, a page of each kind. Returns their number."""
        return sum(
            [
                await self.database.execute(self._sql[f"purge_{kind}"], PAGE)
                for kind in ("revocations", "enrolments", "join_tokens")
            ]
        )


def _row(actor: Actor | None) -> dict[str, str] | None:
    return None if actor is None else actor.model_dump()
