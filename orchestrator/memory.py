"""Running jobs in memory, as this process committed them last, so that they need not be loaded and locked.

The tables are the truth. A run from memory is written only if the tables still have its version (`save_runs`); if not,
the unit of work loads the job again under its lock. A request that finds a job here may wait for its events, but must
read the tables before it answers.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.run import JobRun
from orchestrator.domain.state import outputs_bytes
from schemas.states import JOB

MAX_TASKS: Final = 10_000
"""About 1 KiB each. At this limit no new job is kept, as the older ones will end first; but a new one replaces the
oldest if its last commit is long ago (it waits, or another process works on it)."""

MAX_OUTPUTS: Final = 64 << 20
"""The most bytes, about, in the outputs of their tasks; they count as the tasks do."""

IDLE: Final = 30.0
"""Seconds after its last commit before a run may be replaced by a new one."""

DISTRUST: Final = 5.0
"""Seconds without remembering any run after another process changed one of the same jobs."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A run, the time of its last commit, and what it takes."""

    run: JobRun
    at: float
    tasks: int
    outputs: int
    """In bytes."""


class RunMemory:
    """The runs by job id."""

    def __init__(self, max_tasks: int = MAX_TASKS, max_outputs: int = MAX_OUTPUTS) -> None:
        self._max_tasks = max_tasks
        self._max_outputs = max_outputs
        self._runs: dict[str, _Kept] = {}
        """The oldest first."""
        self._tasks = 0
        self._outputs = 0
        self._trusted_from = 0.0

    def __len__(self) -> int:
        return len(self._runs)

    def take(self, job_ids: Collection[str]) -> dict[str, JobRun] | None:
        """Remove and return these runs, which then belong to the caller; None unless all of them are here."""
        if not all(id in self._runs for id in job_ids):
            return None
        return {id: self._pop(id) for id in job_ids}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._runs

    def keep(self, runs: Iterable[JobRun]) -> None:
        """Keep runs that were just committed. A caller that still holds one may read it, but must not change it."""
        moment = time.monotonic()
        for run in runs:
            _count_outputs(run)
            run.written()
            known = self._runs.get(run.job.id)
            if moment < self._trusted_from or (known and known.run.job.version > run.job.version):
                continue
            self.forget([run.job.id])
            kept = _Kept(run, moment, len(run.tasks), run.job.outputs_bytes or 0)
            if not JOB.is_final(run.job.status) and self._make_room(kept):
                self._runs[run.job.id] = kept
                self._tasks += kept.tasks
                self._outputs += kept.outputs

    def clear(self) -> None:
        """Forget all runs: other processes may have changed them while no events arrived."""
        self._runs.clear()
        self._tasks = self._outputs = 0

    def forget(self, job_ids: Iterable[str]) -> None:
        """Forget these runs: they are about to be changed, or have ended."""
        for id in job_ids:
            if id in self._runs:
                self._pop(id)

    def distrust(self) -> None:
        """Forget all runs for DISTRUST seconds: another process changes the same jobs, so that remembering them costs
        more."""
        self.clear()
        self._trusted_from = time.monotonic() + DISTRUST

    def _make_room(self, new: _Kept) -> bool:
        while self._tasks + new.tasks > self._max_tasks or self._outputs + new.outputs > self._max_outputs:
            oldest = next(iter(self._runs), None)
            if oldest is None or new.at - self._runs[oldest].at < IDLE:
                return False
            self._pop(oldest)
        return True

    def _pop(self, id: str) -> JobRun:
        kept = self._runs.pop(id)
        self._tasks -= kept.tasks
        self._outputs -= kept.outputs
        return kept.run


def _count_outputs(run: JobRun) -> None:
    """Count the outputs of the tasks that have changed, or of all tasks the first time."""
    job = run.job
    if job.outputs_bytes is None:
        job.outputs_bytes = outputs_bytes(run.tasks.values())
    else:
        job.outputs_bytes += outputs_bytes(run.tasks[one] for one in run.changed)
