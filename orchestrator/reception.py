"""New jobs begin: at once, or, with a concurrency key, when they may. `orchestrator.admission` has those that wait.

A job without a key costs nothing here. For jobs with one, their keys are locked to the end of the transaction, so that
no other gives them away meanwhile; whether a job holds its key, waits or is refused is decided in
`orchestrator.domain.concurrency`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from orchestrator.aside import Aside
from orchestrator.domain.concurrency import Arrivals, ClaimState, Full, Key, Line, LineTooLong, Member, Replaced, Start
from orchestrator.domain.making import NewJob
from orchestrator.domain.wanted import Wanted
from orchestrator.store.claims import ClaimStore
from orchestrator.store.firings import FiringStore
from orchestrator.submission import LONG, begin_all
from schemas.access import Role
from schemas.events import ScheduleRefused
from shared.access import lacking
from shared.clock import now
from shared.errors import Conflict, NotYours, TooManyWaiting
from shared.outbox import OutboxTransaction


class Occupied(Conflict):
    """Others hold the key of a job that is not to wait. The message names them."""


class _JobRefused(Exception):
    """A job that may not begin, with the error for its request. Nothing was written."""

    def __init__(self, job_id: str, error: Occupied | NotYours | TooManyWaiting) -> None:
        super().__init__(str(error))
        self.job_id = job_id
        self.error = error


@dataclass(frozen=True, slots=True)
class Begun:
    """The new jobs that may begin, and why others may not, in words, by their ids."""

    jobs: list[NewJob]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Arrived:
    """How new jobs begin, and the older jobs that are to be cancelled for them."""

    wanted: Sequence[Wanted]
    starts: Sequence[Start] = ()
    replaced: Sequence[Replaced] = ()
    keys: frozenset[Key] = frozenset()


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
        wanted = _limited(wanted)
        lines = await self._lines(tx, wanted)
        moment = now()
        try:
            arrived = await self._arrive(tx, wanted, lines, moment)
        except _JobRefused as refused:
            if batch and isinstance(refused.error, Occupied):
                place = [job.id for job in wanted].index(refused.job_id)
                raise Occupied(f"job {place} of the batch: {refused.error}") from None
            raise refused.error from None
        return await self._make(tx, arrived, moment)

    async def begin_possible(self, tx: OutboxTransaction, wanted: Sequence[Wanted]) -> Begun:
        """As `begin`, without the jobs for which that raises an error: the others begin as if these had not been
        wanted."""
        wanted = _limited(wanted)
        lines = await self._lines(tx, wanted)
        moment = now()
        refused: dict[str, str] = {}
        while True:  # each round but the last refuses one of the jobs
            try:
                arrived = await self._arrive(tx, wanted, {key: line.copy() for key, line in lines.items()}, moment)
            except _JobRefused as one:
                refused[one.job_id] = one.error.why if isinstance(one.error, TooManyWaiting) else str(one.error)
                wanted = [job for job in wanted if job.id != one.job_id]
            else:
                return Begun(await self._make(tx, arrived, moment), refused)

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

    async def _lines(self, tx: OutboxTransaction, wanted: Sequence[Wanted]) -> dict[Key, Line]:
        """Lock the keys of jobs, and return what arriving jobs find there."""
        keys = {claim.key for job in wanted for claim in job.claims}
        if not keys:
            return {}
        await self._claims.lock(tx, keys)
        return await self._claims.lines(tx, keys)

    async def _arrive(
        self, tx: OutboxTransaction, wanted: Sequence[Wanted], lines: dict[Key, Line], moment: datetime
    ) -> _Arrived:
        """Decide how jobs begin. Changes `lines`, and writes nothing. Raises _JobRefused for the first job that may
        not begin."""
        if not any(job.claims for job in wanted):
            return _Arrived(wanted)
        arrivals = Arrivals(lines)
        for job in wanted:
            later = job.run_at is not None and job.run_at > moment
            try:
                arrivals.add(Member(job.id, job.name), job.claims, later=later)
            except Full as error:
                raise _JobRefused(job.id, Occupied(str(error))) from None
            except LineTooLong as error:
                raise _JobRefused(job.id, TooManyWaiting(str(error))) from None
        replaced = await self._claims.replaced(tx, arrivals.lines.values())
        _check_own(replaced)
        return _Arrived(wanted, arrivals.starts, replaced, frozenset(lines))

    async def _make(self, tx: OutboxTransaction, arrived: _Arrived, moment: datetime) -> list[NewJob]:
        """Mark the older jobs that are to be cancelled, and create the new ones."""
        wanted, long = arrived.wanted, _is_long(arrived.wanted)
        if arrived.replaced:
            await self._claims.supersede(tx, arrived.replaced)
            tx.on_commit(self._superseded)
        if any(start.state is ClaimState.WAITING for start in arrived.starts):
            tx.on_commit(partial(self._waiting, arrived.keys))  # a holder may have ended in the meantime
        return await self._aside.run(partial(begin_all, wanted, arrived.starts, moment=moment), long=long)


def _limited(wanted: Sequence[Wanted]) -> Sequence[Wanted]:
    """The jobs with a note of whose jobs they may end, if the caller may end only its own."""
    limited = lacking(Role.OPERATOR)
    return wanted if limited is None else [replace(job, only_of=limited.id) for job in wanted]


def _check_own(replaced: Sequence[Replaced]) -> None:
    """Raises _JobRefused for a job that would end another token's."""
    limited = lacking(Role.OPERATOR)
    for one in replaced:
        if limited is not None and one.protected:
            error = NotYours(f"{one.title}, which this one would end,", limited.role, Role.OPERATOR)
            raise _JobRefused(one.by, error)


def _is_long(wanted: Sequence[Wanted]) -> bool:
    return sum(len(job.definitions) for job in wanted) > LONG
