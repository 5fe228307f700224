"""Being told at once that something about a job has changed, for requests that wait: `?wait=` and live streams.

Told by this process's own commits and, for those of other replicas, by the bus subjects of jobs and tasks, which are
ordinary NATS subjects as well. A word may be missed; whoever waits looks into the database anyway, now and then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import orjson

from orchestrator.domain.run import JobRun
from schemas.states import JOB, JobStatus
from shared.bus import Bus, Callback, Subscription

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
    """Knows who waits for which job; a service.

    `ended` is told of the ends of jobs, as they are heard, and `missed` that some may not have been: the bus was away.

    The ends are always heard of, all else from the first time that somebody follows a job: where nobody does, each
    message would cost as much as where somebody does.
    """

    name: Final = "watch"

    def __init__(self, bus: Bus, *, ended: Callable[[Iterable[str]], None], missed: Callable[[], None]) -> None:
        self._bus = bus
        self._ended = ended
        self._missed = missed
        self._forget: Callable[[], None] = lambda: None
        self._listeners: dict[str, set[Listener]] = {}
        self._subscriptions: list[Subscription] = []
        self._steps = 0
        """How many of the kinds of steps are heard of."""
        self._beginning = asyncio.Lock()

    async def start(self) -> None:
        """Begin to hear of other replicas' commits."""
        self._forget = self._bus.on_change(lambda _: self._missed())
        for end in sorted(ENDS):
            await self._subscribe(end, self._hear_end)

    async def stop(self) -> None:
        self._forget()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    @contextmanager
    def end_of(self, job_id: str) -> Iterator[Listener]:
        """Hear of what may be a job's end for as long as the block runs. To be entered before looking, so that nothing
        falls between."""
        with self._about(job_id, Listener(end_only=True)) as listener:
            yield listener

    @asynccontextmanager
    async def steps_of(self, job_id: str) -> AsyncIterator[Listener]:
        """As `end_of`, of all that happens to a job. What another replica commits before the bus has heard of the very
        first follower is missed: the next look finds it."""
        async with self._beginning:
            for kind in KINDS[self._steps :]:
                await self._subscribe(kind, self._hear_step)
                self._steps += 1
        with self._about(job_id, Listener()) as listener:
            yield listener

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

    @contextmanager
    def _about(self, job_id: str, listener: Listener) -> Iterator[Listener]:
        self._listeners.setdefault(job_id, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[job_id].discard(listener)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    async def _subscribe(self, event_type: str, callback: Callback) -> None:
        subject = self._bus.catalogue.event(event_type)
        self._subscriptions.append(await self._bus.subscribe(subject, callback))

    async def _hear_end(self, _subject: str, payload: bytes, _reply: str) -> None:
        job_ids = [event["data"]["job_id"] for event in orjson.loads(payload)]
        self._ended(job_ids)
        self.tell(job_ids)

    async def _hear_step(self, subject: str, payload: bytes, _reply: str) -> None:
        if not self._listeners or self._bus.catalogue.event_type(subject) in ENDS:
            return
        job_ids: Iterable[str]
        if len(self._listeners) <= FEW:  # looking for the ids is cheaper than parsing
            job_ids = [job_id for job_id in self._listeners if job_id.encode() in payload]
        else:
            job_ids = {event["data"].get("job_id", "") for event in orjson.loads(payload)}
        for job_id in job_ids:
            for listener in self._listeners.get(job_id, ()):
                if not listener.end_only:
                    listener.tell()
