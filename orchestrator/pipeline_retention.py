"""What the orchestrator keeps of pipelines: versions that no job names, and archived pipelines, each by age.

These are few, so that a pass over all of them begins only every hour. `orchestrator.retention` has the jobs.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from orchestrator.store.retention import RetentionStore
from schemas.ids import HIGHEST, LOWEST
from shared.clock import now
from shared.retention import Batch

PAGE: Final = 500
"""Versions, or pipelines, that one statement looks at."""
PIPELINES_AT_ONCE: Final = 20
"""The most pipelines that one statement deletes; each may have many versions."""
JOBS_AT_ONCE: Final = 20_000
"""Jobs of a pipeline, read from an index, that one statement looks at."""
PASS_EVERY: Final = 3600.0
"""Seconds between the beginnings of two passes, unless something is kept for less than ten hours."""

NOTHING: Final = Batch(0, more=False)


class PipelineVersions:
    """Versions that are not the pipeline's last one, were replaced longer ago than `age`, and that no job names.

    A batch looks at one page of versions, or at some jobs of a pipeline that has versions to delete.
    """

    name: Final = "pipeline_versions"

    def __init__(
        self, store: RetentionStore, *, age: timedelta | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.age = age
        self._store = store
        self._passes = _Passes(age, clock)
        self._after = (LOWEST, 0)
        self._unused: set[int] = set()
        """Versions of the pipeline of `_after` that no job names, as far as its jobs were looked at: down to
        `_below`."""
        self._below = HIGHEST

    async def batch(self) -> Batch:
        if self.age is None or not self._passes.due:
            return NOTHING
        if self._unused:
            return await self._look_at_jobs(self._after[0])
        page = await self._store.superseded(self._after, made_before=now() - self.age, limit=PAGE)
        first = next((pipeline_id for pipeline_id, _, due in page if due), None)
        if first is not None:
            of_first = [(version, due) for pipeline_id, version, due in page if pipeline_id == first]
            self._after = (first, of_first[-1][0])
            self._unused = {version for version, due in of_first if due}
        elif len(page) == PAGE:
            self._after = page[-1][:2]
        else:
            self._after = (LOWEST, 0)
            self._passes.end()
            return NOTHING
        return Batch(0, more=True)

    async def oldest(self) -> datetime | None:
        return None

    async def _look_at_jobs(self, pipeline_id: str) -> Batch:
        used, lowest = await self._store.versions_of_jobs(pipeline_id, self._below, JOBS_AT_ONCE)
        self._unused -= used
        if self._unused and lowest is not None:
            self._below = lowest
            return Batch(0, more=True)
        unused, self._unused, self._below = self._unused, set(), HIGHEST
        deleted = await self._store.delete_versions(pipeline_id, unused) if unused else 0
        return Batch(deleted, more=True)


class ArchivedPipelines:
    """Pipelines without jobs that were archived longer ago than `age`, with their versions."""

    name: Final = "archived_pipelines"

    def __init__(
        self, store: RetentionStore, *, age: timedelta | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.age = age
        self._store = store
        self._passes = _Passes(age, clock)
        self._after = LOWEST

    async def batch(self) -> Batch:
        if self.age is None or not self._passes.due:
            return NOTHING
        page = await self._store.archived(self._after, archived_before=now() - self.age, limit=PAGE)
        due = [pipeline_id for pipeline_id, due in page if due]
        chosen = due[:PIPELINES_AT_ONCE]
        deleted = await self._store.delete_pipelines(chosen) if chosen else 0
        if len(due) > len(chosen):
            self._after = chosen[-1]
        elif len(page) == PAGE:
            self._after = page[-1][0]
        else:
            self._after = LOWEST
            self._passes.end()
            return Batch(deleted, more=False)
        return Batch(deleted, more=True)

    async def oldest(self) -> datetime | None:
        return None


class _Passes:
    """When the next pass begins."""

    def __init__(self, age: timedelta | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._every = PASS_EVERY if age is None else min(PASS_EVERY, age.total_seconds() / 10)
        self._next = clock()

    @property
    def due(self) -> bool:
        return self._clock() >= self._next

    def end(self) -> None:
        """End the pass."""
        self._next = self._clock() + self._every
