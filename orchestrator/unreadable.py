"""Jobs that cannot be loaded, as after an upgrade for which what is stored of them is not valid. What is done with many
jobs at once leaves them out, so that they hold up no others."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from orchestrator.unit_of_work import UnitOfWork
from shared.outbox import Outbox
from shared.postgres import retry_deadlock

TRIED_AGAIN: Final = 60.0
"""Seconds after which jobs that could not be loaded are tried again."""
ERRORS: Final = (ValueError, LookupError, TypeError)
"""What is raised for a row that is not valid."""
WHY: Final = "it cannot be read: what is stored of it is not valid for this version of the platform"

_log = structlog.get_logger(__name__)


class Unreadable:
    """Finds and remembers the jobs that cannot be loaded."""

    def __init__(self, outbox: Outbox, work: UnitOfWork) -> None:
        self._outbox = outbox
        self._work = work
        self._found: set[str] = set()
        self._until = 0.0

    @property
    def any(self) -> bool:
        """Whether there are such jobs."""
        return bool(self._found)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._found

    async def leave_out(self, job_ids: Collection[str], work: Callable[[list[str]], Awaitable[list[str]]]) -> list[str]:
        """Do `work` with those of these jobs that can be loaded. It has one transaction, and may be repeated."""
        moment = time.monotonic()
        if moment >= self._until:
            self._found.clear()
            self._until = moment + TRIED_AGAIN
        readable = [one for one in job_ids if one not in self._found]
        if not readable:
            return []
        try:
            return await retry_deadlock(lambda: work(readable))
        except ERRORS as error:
            found = await self._find(readable)
            if not found:
                raise
            for job_id in found:
                note(job_id, error)
            self._found.update(found)
        left = [one for one in readable if one not in self._found]
        return await retry_deadlock(lambda: work(left)) if left else []

    async def _find(self, job_ids: list[str]) -> list[str]:
        try:
            async with self._outbox.transaction() as tx:
                await self._work.load(tx, job_ids)
        except ERRORS:
            if len(job_ids) == 1:
                return job_ids
            half = len(job_ids) // 2
            return [*await self._find(job_ids[:half]), *await self._find(job_ids[half:])]
        return []


def note(job_id: str, error: Exception) -> None:
    """Log that a job cannot be loaded."""
    _log.error("job.unreadable", job_id=job_id, error=str(error))
