"""Jobs that are under way, as this process committed them last: what is remembered need not be loaded and locked.

Nothing here is the truth. A run that is taken is written only where the tables still have its version
(`save_runs`); whoever finds that they have not, loads it again under its lock. And who learns from here that a job is
under way may wait for news of it, but tells nobody before having looked.
"""

import time
from collections.abc import Collection, Iterable
from typing import Final

from orchestrator.domain.run import JobRun
from schemas.states import JOB

MAX_TASKS: Final = 10_000
"""About 1 KiB each. Over it, nothing new is remembered, for what came first will end first; except in place of what
nobody asked for in a long time: it waits, or another process works on it."""

IDLE: Final = 30.0
"""Seconds after which a run may give way to a new one."""

DISTRUST: Final = 5.0
"""Seconds for which nothing is remembered after another process was found to change the same jobs."""


class RunMemory:
    """The runs by job id."""

    def __init__(self, max_tasks: int = MAX_TASKS) -> None:
        self._max_tasks = max_tasks
        self._runs: dict[str, tuple[float, JobRun]] = {}
        """With the moment of their last commit, the oldest first."""
        self._tasks = 0
        self._trusted_from = 0.0

    def __len__(self) -> int:
        return len(self._runs)

    def take(self, job_ids: Collection[str]) -> dict[str, JobRun] | None:
        """All of these, which are then nobody's but the caller's; None unless all of them are here."""
        if not all(id in self._runs for id in job_ids):
            return None
        return {id: self._pop(id) for id in job_ids}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._runs

    def keep(self, runs: Iterable[JobRun]) -> None:
        """These were just committed as they are. Whoever still holds one may look at its job, and change nothing."""
        moment = time.monotonic()
        for run in runs:
            run.written()
            _, known = self._runs.get(run.job.id, (0.0, run))
            if moment < self._trusted_from or known.job.version > run.job.version:
                continue
            self.forget([run.job.id])
            if not JOB.is_final(run.job.status) and self._make_room(len(run.tasks), moment):
                self._runs[run.job.id] = moment, run
                self._tasks += len(run.tasks)

    def clear(self) -> None:
        """Others may have changed anything without our hearing of it."""
        self._runs.clear()
        self._tasks = 0

    def forget(self, job_ids: Iterable[str]) -> None:
        """Somebody is about to change these, or has ended them."""
        for id in job_ids:
            if id in self._runs:
                self._pop(id)

    def distrust(self) -> None:
        """Another process changes what is remembered here: it costs less to remember nothing for a while."""
        self.clear()
        self._trusted_from = time.monotonic() + DISTRUST

    def _make_room(self, tasks: int, moment: float) -> bool:
        while self._tasks + tasks > self._max_tasks:
            oldest = next(iter(self._runs), None)
            if oldest is None or moment - self._runs[oldest][0] < IDLE:
                return False
            self._pop(oldest)
        return True

    def _pop(self, id: str) -> JobRun:
        _, run = self._runs.pop(id)
        self._tasks -= len(run.tasks)
        return run
