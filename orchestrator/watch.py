"""Hearing at once that a job has changed, for requests that wait: `?wait=` and live streams.

A change is heard from this process's own commits and, for those of other replicas, from the bus. The bus is heard of
through `shared.bus.Listening`; here is what of it concerns a job.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Literal

import orjson

from orchestrator.domain.run import JobRun
from schemas.states import JOB, JobStatus
from shared.bus import FEW, Bus, Listener, Listening, Subscription

KINDS: Final = ("jobs.*", "tasks.*")
ENDS: Final = frozenset(f"jobs.{status.value}" for status in JobStatus if JOB.is_final(status))

Change = JobStatus | Literal["step", "change"]
"""What is heard of a job: its status as committed here, that one of its steps changed, or a change of any kind."""


class JobListener:
    """Hears of one job, from now on."""

    def __init__(self, heard: Listener[Change]) -> None:
        self.ended: JobStatus | None = None
        """The job's final status, if it was heard: nothing changes after that, so there is no need to look."""
        self._heard = heard

    def tell(self) -> None:
        """Wake the waiter, so that it looks."""
        self._heard.tell("change")

    async def changed(self, within: float) -> None:
        """Wait for a change since the last call, for `within` seconds at the most."""
        for change in await self._heard.all(within):
            if _is_end(change):
                self.ended = JobStatus(change)


class Watch:
    """The listeners to jobs; a service.

    `ended` is called with the jobs whose end is heard, and `missed` when ends may have been missed: the bus was away.

    The ends are always heard, all other changes from the first time that a viewer follows a job: without viewers, each
    message would cost as much as with them.
    """

    name: Final = "watch"

    def __init__(self, bus: Bus, *, ended: Callable[[Iterable[str]], None], missed: Callable[[], None]) -> None:
        self._bus = bus
        self._ended = ended
        self._missed = missed
        self._forget: Callable[[], None] = lambda: None
        self._listening: Listening[Change] = Listening(bus, (), _steps)
        self._ends: list[Subscription] = []

    async def start(self) -> None:
        """Begin to hear of other replicas' commits."""
        self._forget = self._bus.on_change(lambda _: self._missed())
        for end in sorted(ENDS):
            self._ends.append(await self._bus.subscribe(self._bus.catalogue.event(end), self._hear_end))

    async def stop(self) -> None:
        """Hear nothing more."""
        self._forget()
        for subscription in self._ends:
            await subscription.unsubscribe()
        self._ends = []
        await self._listening.stop()

    @contextmanager
    def end_of(self, job_id: str) -> Iterator[JobListener]:
        """Hear of what may be a job's end for as long as the block runs. Enter it before looking into the database."""
        with self._listening.about(job_id, accepts=_may_be_end) as heard:
            yield JobListener(heard)

    @asynccontextmanager
    async def steps_of(self, job_id: str) -> AsyncIterator[JobListener]:
        """As `end_of`, of all that happens to a job. What another replica commits before the bus has the subscription
        of the very first viewer is missed: the next look finds it."""
        await self._listening.widen(KINDS)
        with self._listening.about(job_id) as heard:
            yield JobListener(heard)

    def tell(self, job_ids: Iterable[str]) -> None:
        """These jobs have changed."""
        for job_id in job_ids:
            self._listening.tell(job_id, "change")

    def tell_runs(self, runs: Iterable[JobRun]) -> None:
        """These jobs have been committed as they are here."""
        for run in runs:
            self._listening.tell(run.job.id, run.job.status)

    async def _hear_end(self, _subject: str, payload: bytes, _reply: str) -> None:
        job_ids = [event["data"]["job_id"] for event in orjson.loads(payload)]
        self._ended(job_ids)
        self.tell(job_ids)


def _steps(event_type: str, payload: bytes, ids: Collection[str]) -> Iterator[tuple[str, Change]]:
    if event_type in ENDS:
        return  # heard by `Watch`, also while there are no listeners
    if len(ids) > FEW:  # fewer are in the message, and there is no more to learn from it
        ids = {event["data"].get("job_id", "") for event in orjson.loads(payload)}
    for job_id in ids:
        yield job_id, "step"


def _is_end(change: Change) -> bool:
    return isinstance(change, JobStatus) and JOB.is_final(change)


def _may_be_end(change: Change) -> bool:
    return change == "change" or _is_end(change)
