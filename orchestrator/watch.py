"""Being told at once that something about a job has changed, for requests that wait: `?wait=` and live streams.

Told by this process's own commits and, for those of other replicas, by the bus subjects of jobs and tasks, which are
ordinary NATS subjects as well. A word may be missed; whoever waits looks into the database anyway, now and then.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import orjson

from orchestrator.domain.run import JobRun
from schemas.states import JOB, JobStatus
from shared.bus import Bus, Subscription

FEW: Final = 16
KINDS: Final = ("jobs.*", "tasks.*")
ENDS: Final = frozenset(f"jobs.{status.value}" for status in JobStatus if JOB.is_final(status))


class Listener:
    """Hears of one job, from now on; with `end_only`, of what may be its end."""

    def __init__(self, *, end_only: bool = False) -> None:
        self.end_only = end_only
        self._changed = asyncio.Event()
        self.ended: JobStatus | None = None
        """The job's final status, if it was told of: nothing changes after that, so there is no need to look."""

    def tell(self, status: JobStatus | None = None) -> None:
        """It has changed, and now has this status, if that is known."""
        if status is not None and JOB.is_final(status):
            self.ended = status
        elif status is not None and self.end_only:
            return
        self._changed.set()

    async def changed(self, within: float) -> None:
        """Wait for a change since the last call, for so many seconds at the most."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()


class Watch:
    """Knows who waits for which job; a service."""

    name: Final = "watch"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._listeners: dict[str, set[Listener]] = {}
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Begin to hear of other replicas' commits."""
        for kind in KINDS:
            subject = self._bus.catalogue.event(kind)
            self._subscriptions.append(await self._bus.subscribe(subject, self._hear))

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()

    @contextmanager
    def about(self, job_id: str, *, end_only: bool = False) -> Iterator[Listener]:
        """Hear of a job for as long as the block runs. To be entered before looking, so that nothing falls between."""
        listener = Listener(end_only=end_only)
        self._listeners.setdefault(job_id, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[job_id].discard(listener)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    def tell(self, job_ids: Iterable[str]) -> None:
        """These jobs have changed."""
        for job_id in job_ids if self._listeners else ():
            for listener in self._listeners.get(job_id, ()):
                listener.tell()

    def tell_runs(self, runs: Iterable[JobRun]) -> None:
        """These jobs stand as they are here, committed."""
        for run in runs if self._listeners else ():
            for listener in self._listeners.get(run.job.id, ()):
                listener.tell(run.job.status)

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        if not self._listeners:
            return
        job_ids: Iterable[str]
        if len(self._listeners) <= FEW:  # looking for the ids is cheaper than parsing
            job_ids = [job_id for job_id in self._listeners if job_id.encode() in payload]
        else:
            job_ids = {event["data"].get("job_id", "") for event in orjson.loads(payload)}
        ends = self._bus.catalogue.event_type(subject) in ENDS
        for job_id in job_ids:
            for listener in self._listeners.get(job_id, ()):
                if ends or not listener.end_only:
                    listener.tell()
