"""New jobs begin: at once, or, with a concurrency key, when they may. `orchestrator.admission` has those that wait.

A job without a key costs nothing here. For jobs with one, their keys are locked to the end of the transaction, so that
no other gives them away meanwhile; whether a job holds its key, waits or is refused is decided in
`orchestrator.domain.concurrency`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from orchestrator.aside import Aside
from orchestrator.domain.concurrency import Arrivals, ClaimState, Full, Key, LineTooLong, Member, Replaced, Start
from orchestrator.domain.making import NewJob
from orchestrator.domain.wanted import Wanted
from orchestrator.store.claims import ClaimStore
from orchestrator.store.firings import FiringStore
from orchestrator.submission import LONG, begin_all
from schemas.access import Role
from schemas.events import ScheduleRefused
from shared.access import Principal, lacking
from shared.clock import now
from shared.errors import Conflict, NotYours, TooManyWaiting
from shared.outbox import OutboxTransaction


class Occupied(Conflict):
    """Others hold the key of a job that is not to wait. The message names them."""


class RefusedBefore(Exception):
    """The job of this firing was refused when its event came before."""

    def __init__(self, refusal: ScheduleRefused) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class DeletedBefore(Exception):
    """The job of this firing was made when its event came before, and has been deleted since."""


class Reception:
    """Begins new jobs."""

    def __init__(self, claims: ClaimStore, firings: FiringStore, aside: Aside) -> None:
        self._aside = aside
        self._claims = claims
        self._firings = firings
        self._waiting: Callable[[Iterable[Key]], None] = lambda _: None
        self._superseded: Callable[[], None] = lambda: None

    def when(self, *, waiting: Callable[[Iterable[Key]], None], superseded: Callable[[], None]) -> None:
        """Call `waiting` after each commit of jobs that wait, with their keys, and `superseded` after each by which
        older jobs are to be cancelled."""
        self._waiting = waiting
        self._superseded = superseded

    async def begin(self, tx: OutboxTransaction, wanted: Sequence[Wanted], *, batch: bool = False) -> list[NewJob]:
        """Create jobs, in their order, to be inserted in the same transaction. Raises Occupied for a job that is not to
        wait, NotYours for one that would end a job which the caller may not end, and TooManyWaiting."""
        if (limited := lacking(Role.OPERATOR)) is not None:
            wanted = [replace(job, only_of=limited.id) for job in wanted]
        if not any(job.claims for job in wanted):
            return await self._aside.run(partial(begin_all, wanted), long=_is_long(wanted))
        keys = {claim.key for job in wanted for claim in job.claims}
        await self._claims.lock(tx, keys)
        moment = now()
        arrivals = Arrivals(await self._claims.lines(tx, keys))
        try:
            for job in wanted:
                later = job.run_at is not None and job.run_at > moment
                arrivals.add(Member(job.id, job.name), job.claims, later=later)
        except Full as error:
            raise Occupied(f"job {error.place} of the batch: {error}" if batch else str(error)) from None
        except LineTooLong as error:
            raise TooManyWaiting(str(error)) from None
        if replaced := await self._claims.replaced(tx, arrivals.lines.values()):
            _check_own(limited, replaced)
            await self._claims.supersede(tx, replaced)
            tx.on_commit(self._superseded)
        if any(start.state is ClaimState.WAITING for start in arrivals.starts):
            tx.on_commit(partial(self._waiting, keys))  # a holder may have ended in the meantime
        begin = partial(begin_all, wanted, arrivals.starts, moment=moment)
        return await self._aside.run(begin, long=_is_long(wanted))

    async def begin_missing(self, tx: OutboxTransaction, wanted: Wanted) -> NewJob:
        """As `begin`, for a job whose id another service chose. If it exists already, it is not asked what becomes of
        it: the result is not inserted. Raises RefusedBefore and DeletedBefore."""
        if wanted.claims:
            await self._claims.lock(tx, [claim.key for claim in wanted.claims])
        if (refusal := await self._firings.refusal(tx, wanted.id)) is not None:
            raise RefusedBefore(refusal)
        if await self._firings.was_deleted(tx, wanted.id):
            raise DeletedBefore(wanted.id)
        if wanted.claims and await self._claims.existing(tx, [wanted.id]):
            [known] = begin_all([wanted], [Start(ClaimState.WAITING)])
            return known
        [new] = await self.begin(tx, [wanted])
        return new


def _check_own(limited: Principal | None, replaced: Sequence[Replaced]) -> None:
    for one in replaced:
        if limited is not None and one.protected:
            raise NotYours(f"{one.title}, which this one would end,", limited.role, Role.OPERATOR)


def _is_long(wanted: Sequence[Wanted]) -> bool:
    return sum(len(job.definitions) for job in wanted) > LONG
