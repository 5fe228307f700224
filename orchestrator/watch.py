"""Notifies waiting requests (`?wait=` and live streams) at once when a job has changed.

Changes come from this process's own commits and, for those of other replicas, from the bus. `shared.bus.Listening` does
the listening; this module has what concerns jobs.
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
"""What a listener hears of a job: its status as committed here, a change of one of its steps, or any change."""


class JobListener:
    """Hears of one job, from now on."""

    def __init__(self, heard: Listener[Change]) -> None:
        self.ended: JobStatus | None = None
        """The job's final status, if it was heard. Nothing changes after that, so the tables need not be read."""
        self._heard = heard

    def tell(self) -> None:
        """Wake the waiter, so that it reads the tables."""
        self._heard.tell("change")

    async def changed(self, within: float) -> None:
        """Wait for a change since the last call, for at most `within` seconds."""
        for change in await self._heard.all(within):
            if _is_end(change):
                self.ended = JobStatus(change)


class Watch:
    """The listeners to jobs; a service.

    `ended` is called with the jobs whose end is heard, and `missed` when ends may have been missed because the bus was
    away. Ends are always heard; all other changes are heard once the first viewer follows a job, because each message
    would cost as much without viewers as with them.
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
        """Start hearing of other replicas' commits."""
        self._forget = self._bus.on_change(lambda _: self._missed())
        for end in sorted(ENDS):
            self._ends.append(await self._bus.subscribe(self._bus.catalogue.event(end), self._hear_end))

    async def stop(self) -> None:
        """Stop hearing of changes."""
        self._forget()
        for subscription in self._ends:
            await subscription.unsubscribe()
        self._ends = []
        await self._listening.stop()

    @contextmanager
    def end_of(self, job_id: str) -> Iterator[JobListener]:
        """Hear of changes that may be a job's end while the block runs. Enter it before reading the tables."""
        with self._listening.about(job_id, accepts=_may_be_end) as heard:
            yield JobListener(heard)

    @asynccontextmanager
    async def steps_of(self, job_id: str) -> AsyncIterator[JobListener]:
        """Like `end_of`, for all changes of a job. Commits of another replica before the very first viewer's
        subscription are missed; the next read of the tables finds them."""
        await self._listening.widen(KINDS)
        with self._listening.about(job_id) as heard:
            yield JobListener(heard)

    def tell(self, job_ids: Iterable[str]) -> None:
        """Notify the listeners of these jobs of a change."""
        for job_id in job_ids:
            self._listening.tell(job_id, "change")

    def tell_runs(self, runs: Iterable[JobRun]) -> None:
        """Notify the listeners of these jobs of their committed status."""
        for run in runs:
            self._listening.tell(run.job.id, run.job.status)

    async def _hear_end(self, _subject: str, payload: bytes, _reply: str) -> None:
        job_ids = [event["data"]["job_id"] for event in orjson.loads(payload)]
        self._ended(job_ids)
        self.tell(job_ids)


def _steps(
    event_type: str, payload: bytes, ids: Collection[str], _worker_id: str | None
) -> Iterator[tuple[str, Change]]:
    if event_type in ENDS:
        return  # `Watch` hears of these, even without listeners
    if len(ids) > FEW:  # up to FEW ids were found in the payload already
        ids = {event["data"].get("job_id", "") for event in orjson.loads(payload)}
    for job_id in ids:
        yield job_id, "step"


def _is_end(change: Change) -> bool:
    return isinstance(change, JobStatus) and JOB.is_final(change)


def _may_be_end(change: Change) -> bool:
    return change == "change" or _is_end(change)
