"""Admits jobs that wait for concurrency keys, and cancels those whose places newer jobs have taken.

What there is to do follows from the tables. The loop is woken after the commits that make a difference; it looks at all
keys once a second besides, because another replica may have ended before it did what followed from its commit. A key is
given to a job in the transaction that queues the job's first tasks, under the key's lock (`orchestrator.store.claims`).
"""

import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orchestrator.domain.concurrency import Arrivals, ClaimState, Key, Member, Replaced, Start, admitted, superseded_by
from orchestrator.domain.run import JobRun
from orchestrator.store.claims import ClaimStore
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.unreadable import Unreadable
from schemas.states import JOB, Reason
from shared.clock import now
from shared.outbox import Outbox
from shared.service import Counts, Loop

SWEEP: Final = 1.0
"""Seconds after which all keys are looked at again."""
SWEEP_SHARE: Final = 20
"""A sweep that takes long is made this many times as seldom as it takes, at most every LONGEST seconds."""
LONGEST: Final = 30.0
KEYS_AT_ONCE: Final = 50
JOBS_OF_A_KEY: Final = 20
"""The most jobs that one transaction admits to a key."""
AT_ONCE: Final = 100
"""The most jobs that arrive or are cancelled in one run."""
CLEANING: Final = 60.0
"""Seconds after which claims of jobs that have ended are looked for."""


class Admission(Loop):
    """Wakes for freed keys, for jobs that are to be cancelled, and once a second."""

    def __init__(
        self, outbox: Outbox, work: UnitOfWork, claims: ClaimStore, admitted: Callable[[timedelta], None]
    ) -> None:
        """`admitted` is called after the commit of each job that begins, with the time that it has waited."""
        super().__init__("admission", interval=SWEEP)
        self._outbox = outbox
        self._work = work
        self._claims = claims
        self._admitted = admitted
        self._freed: dict[Key, None] = {}
        """In the order in which they were freed."""
        self._superseded = False
        self._unreadable = Unreadable(outbox, work)
        self._next_sweep = 0.0
        self._next_cleaning = 0.0

    def freed(self, keys: Iterable[Key]) -> None:
        """Fewer jobs hold these keys now."""
        self._freed.update(dict.fromkeys(keys))
        self.wake()

    def superseded(self) -> None:
        """Jobs are to be cancelled for newer ones."""
        self._superseded = True
        self.wake()

    async def run_once(self) -> Counts:
        """Admit, cancel and have arrive a limited number of jobs. Returns counts."""
        moment = time.monotonic()
        sweep = moment >= self._next_sweep
        if sweep:
            if not await self._claims.in_need():
                self._next_sweep = moment + SWEEP
                self._freed.clear()
                self._superseded = False
                return {}
            if moment >= self._next_cleaning:
                self._next_cleaning = moment + CLEANING
                await self._claims.free_ended()
        counts = {"cancelled": 0, "arrived": 0, "admitted": 0}
        if sweep or self._superseded:
            self._superseded = False
            counts["cancelled"] = await self._cancel()
        if sweep:
            counts["arrived"] = await self._arrive()
            self.freed(await self._claims.with_room(KEYS_AT_ONCE))
        keys = list(self._freed)[:KEYS_AT_ONCE]
        for key in keys:
            del self._freed[key]
        if keys:
            counts["admitted"] = await self._admit(keys)
        if sweep:
            took = time.monotonic() - moment
            self._next_sweep = moment + min(max(SWEEP, SWEEP_SHARE * took), LONGEST)
        if self._freed or counts["admitted"]:
            self.wake()
        return counts

    # ------------------------------------------------------------------ jobs that wait

    async def _admit(self, keys: Collection[Key]) -> int:
        """Admit the next jobs to these keys. Returns their number."""
        job_ids, claimed = await self._claims.admissible(keys, JOBS_OF_A_KEY)
        if not job_ids:
            return 0
        chosen = await self._unreadable.leave_out(job_ids, partial(self._admit_jobs, claimed))
        if chosen:  # more may be admitted, and a job of these may have ended at once
            self.freed(keys)
        return len(chosen)

    async def _admit_jobs(self, keys: Collection[Key], job_ids: list[str]) -> list[str]:
        moment = now()
        async with self._outbox.transaction() as tx:
            await self._claims.lock(tx, keys)
            waiting, holding = await self._claims.waiting(tx, job_ids)
            chosen = admitted([one.waiter for one in waiting if one.arrived], holding)
            runs = [run for run in (await self._work.load(tx, chosen)).values() if _waits(run)] if chosen else []
            if runs:
                await self._claims.hold(tx, [run.job.id for run in runs], moment)
                for run in runs:
                    run.admit(moment)
                await self._work.save(tx, runs, moment)
                began = {run.job.id for run in runs}
                for one in waiting:
                    if one.waiter.job_id in began:
                        tx.on_commit(partial(self._admitted, moment - one.since))
        return [run.job.id for run in runs]

    # ------------------------------------------------------------------ jobs that arrive at their run_at

    async def _arrive(self) -> int:
        """Have the jobs arrive at their keys whose `run_at` has come. Returns their number."""
        job_ids = await self._claims.arriving(now(), AT_ONCE)
        for job_id in job_ids:
            keys = await self._claims.keys_of(job_id)
            await self._unreadable.leave_out([job_id], partial(self._arrive_job, keys))
        if len(job_ids) == AT_ONCE:
            self._next_sweep = 0.0
            self.wake()
        return len(job_ids)

    async def _arrive_job(self, keys: Collection[Key], job_ids: list[str]) -> list[str]:
        [job_id] = job_ids
        moment = now()
        async with self._outbox.transaction() as tx:
            await self._claims.lock(tx, keys)
            waiting, _ = await self._claims.waiting(tx, [job_id])
            if not waiting or waiting[0].arrived:
                return []
            arrivals = Arrivals(await self._claims.lines(tx, keys))
            start = arrivals.add(Member(job_id, ""), waiting[0].waiter.claims, refuses=False)
            replaced = await self._claims.replaced(tx, arrivals.lines.values())
            if protected := [one for one in replaced if one.protected]:
                start = Start(ClaimState.WAITING, cancelled=Reason.CONCURRENCY_LIMIT, detail=_protects(protected[0]))
            elif replaced:
                await self._claims.supersede(tx, replaced)
                tx.on_commit(self.superseded)
            runs = [run for run in (await self._work.load(tx, [job_id])).values() if _waits(run)]
            for run in runs:
                if start.state is ClaimState.HELD:
                    await self._claims.hold(tx, [job_id], moment)
                    run.admit(moment)
                else:
                    await self._claims.keep_waiting(tx, [job_id])
                    _keep_back(run, start, moment)
            await self._work.save(tx, runs, moment)
        return job_ids

    # ------------------------------------------------------------------ jobs that newer ones replace

    async def _cancel(self) -> int:
        """Cancel the jobs whose places newer ones have taken. Returns their number."""
        found = {one.job_id: one for one in await self._claims.superseded(AT_ONCE)}
        moment = now()

        def cancel(run: JobRun) -> None:
            one = found[run.job.id]
            run.drop(Reason.SUPERSEDED, superseded_by(one.by, one.space), moment, by=one.created_by)

        async def cancel_jobs(job_ids: list[str]) -> list[str]:
            return list(await self._work.change(job_ids, cancel, moment))

        await self._unreadable.leave_out(list(found), cancel_jobs)
        if len(found) == AT_ONCE:
            self.superseded()
        return len(found)


def _waits(run: JobRun) -> bool:
    return run.job.waits and not JOB.is_final(run.job.status)


def _protects(one: Replaced) -> str:
    return f"{one.title} has its concurrency key and was submitted by another token: only the role operator may end it"


def _keep_back(run: JobRun, start: Start, moment: datetime) -> None:
    if start.cancelled is not None:
        run.drop(start.cancelled, start.detail, moment)
    elif start.detail is not None:
        run.wait(start.detail, moment)
