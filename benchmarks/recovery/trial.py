"""One trial of a fault: jobs before it, the fault, a fresh job after it, and the outcomes of all jobs."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.recovery.faults import Fault
from benchmarks.recovery.jobs import Job, Jobs, healthy
from benchmarks.recovery.platform import Running

LONG: Final = 2.0
"""Seconds that the long jobs run beyond the fault."""
RATE: Final = 15
"""Jobs per second under load: about half of the worker's throughput."""
AT_ONCE: Final = 10
BACKLOG: Final = 8
"""No more jobs are submitted while so many have not begun, because the trial measures the recovery and not how long a
backlog takes."""
UNDER_WAY: Final = 1.0
"""Seconds of load before the fault."""
MOMENT: Final = 0.04
"""A fault at the moment `handling` comes within so many seconds of the submission."""
DEADLINE: Final = 90.0
"""Seconds after which a job in hand counts as never ended."""


@dataclass(frozen=True)
class Result:
    """The figures of one trial: seconds, and numbers of jobs. `in_hand` excludes the jobs' own run time."""

    fault: Fault
    fresh: float
    in_hand: float
    jobs: int
    twice: int
    lost: int
    never: int

    def faulty(self, margin: float) -> list[str]:
        """The figures beyond their limits; limits in seconds are multiplied by `margin`."""
        found = []
        if self.fresh > 5.0 * margin:
            found.append(f"a fresh job took {self.fresh:.1f} s")
        if self.in_hand > self.fault.in_hand_limit * margin:
            found.append(f"what was in hand took {self.in_hand:.1f} s")
        if self.twice and not self.fault.may_run_twice:
            found.append(f"{self.twice} jobs ran twice")
        if self.lost:
            found.append(f"{self.lost} jobs did not succeed or never ran")
        if self.never:
            found.append(f"{self.never} jobs never ended")
        return found


async def trial(platform: Running, fault: Fault, number: int, chance: random.Random) -> Result:
    """Run one trial. Raises TimeoutError when the platform is not healthy before it or does not recover after it."""
    await healthy(platform.session, platform.urls, deadline=60)
    jobs = Jobs(platform.session, platform.urls["orchestrator"], platform.folder / f"runs-{number}")
    moment = chance.uniform(0, MOMENT)
    enough = asyncio.Event()
    async with asyncio.timeout(fault.seconds + DEADLINE), asyncio.TaskGroup() as group:
        if fault.moment == "handling":
            for _ in range(3):
                group.create_task(jobs.submit())
        else:
            for _ in range(2):
                await jobs.submit(fault.seconds + LONG)
            await jobs.begun(2)
            if fault.moment == "load":
                group.create_task(_load(jobs, enough, chance))
                moment += UNDER_WAY
        await asyncio.sleep(moment)
        in_hand = list(jobs.all)
        await fault.happen(platform)
        lifted = time.monotonic()
        fresh = await jobs.submit()
        await jobs.end_of(fresh)
        enough.set()
    assert fresh.ended is not None
    await jobs.all_over(DEADLINE)
    runs = jobs.count()
    return Result(
        fault,
        fresh=fresh.ended - lifted,
        in_hand=max((_waited(job, lifted, runs[job.id]) for job in in_hand), default=0.0),
        jobs=len(jobs.all),
        twice=sum(runs[job.id] > 1 for job in jobs.all),
        lost=sum(job.ended is not None and (job.status != "succeeded" or not runs[job.id]) for job in jobs.all),
        never=sum(job.ended is None for job in jobs.all),
    )


def _waited(job: Job, lifted: float, runs: int) -> float:
    """Seconds from the fault's end to the job's end, without the job's own run time."""
    if job.accepted is None or job.ended is None:
        return DEADLINE
    begun = lifted if runs > 1 else job.accepted
    return max(0.0, job.ended - max(lifted, begun + job.seconds))


async def _load(jobs: Jobs, enough: asyncio.Event, chance: random.Random) -> None:
    """Submit RATE jobs a second, half of which run for half a second, with at most AT_ONCE requests in flight, and none
    while BACKLOG jobs have not begun."""
    async with asyncio.TaskGroup() as group:
        under_way: set[asyncio.Task[Job]] = set()
        while not enough.is_set():
            if len(under_way) < AT_ONCE and jobs.waiting() < BACKLOG:
                submission = group.create_task(jobs.submit(chance.choice((0.0, 0.5))))
                under_way.add(submission)
                submission.add_done_callback(under_way.discard)
            await asyncio.sleep(1 / RATE)
