"""Who waits for a job is woken by what concerns them, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.domain.run import JobRun
from orchestrator.watch import KINDS, JobListener, Watch
from schemas.states import JobStatus
from schemas.subjects import Catalogue
from shared.bus import FEW, Bus, Callback
from shared.ids import new_id

WHILE = 0.001


class Line:
    """A bus as far as a watch needs one: it says what is published to whoever has subscribed."""

    catalogue = Catalogue("hodei")

    def __init__(self) -> None:
        self.heard: dict[str, Callback] = {}
        self.subscribed = 0
        self.changed: list[Callable[[bool], None]] = []

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        self.changed.append(listener)
        return lambda: self.changed.remove(listener)

    async def subscribe(self, subject: str, callback: Callback) -> Line.Subscription:
        self.heard[subject] = callback
        self.subscribed += 1
        return self.Subscription(self, subject)

    async def say(self, event_type: str, *job_ids: str) -> None:
        payload = json.dumps([{"data": {"job_id": job_id}} for job_id in job_ids]).encode()
        subject = self.catalogue.event(event_type)
        for pattern, callback in list(self.heard.items()):
            if fnmatch(subject, pattern):
                await callback(subject, payload, "")

    class Subscription:
        def __init__(self, line: Line, subject: str) -> None:
            self._line, self._subject = line, subject

        async def unsubscribe(self) -> None:
            del self._line.heard[self._subject]


def woken(listener: JobListener) -> bool:
    """Whether something was heard that the listener has not been told of yet."""
    return not listener._heard._unheard.empty()


def commit(watch: Watch, job_id: str, status: JobStatus) -> None:
    """Tell that a job was committed in this process with this status."""
    job = SimpleNamespace(id=job_id, status=status)
    watch.tell_runs([cast(JobRun, SimpleNamespace(job=job))])


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def ended() -> list[str]:
    """The jobs whose end was heard of."""
    return []


@pytest.fixture
def missed() -> list[None]:
    """One entry for each time that ends may have been missed."""
    return []


@pytest.fixture
async def watch(line: Line, ended: list[str], missed: list[None]) -> AsyncIterator[Watch]:
    watch = Watch(cast(Bus, line), ended=ended.extend, missed=lambda: missed.append(None))
    await watch.start()
    yield watch
    await watch.stop()
    assert not line.heard
    assert not line.changed


@pytest.mark.parametrize("crowd", [0, FEW + 1])
@pytest.mark.parametrize(
    ("event_type", "ends"),
    [("tasks.scheduled", False), ("tasks.succeeded", False), ("jobs.started", False), ("jobs.succeeded", True)],
)
async def test_who_waits_for_the_end_is_not_woken_before(
    watch: Watch, line: Line, event_type: str, ends: bool, crowd: int
) -> None:
    job_id = new_id()
    with ExitStack() as others:
        for _ in range(crowd):
            others.enter_context(watch.end_of(new_id()))
        with watch.end_of(job_id) as end:
            async with watch.steps_of(job_id) as steps:
                await line.say(event_type, job_id)
                assert woken(steps)
                assert woken(end) is ends


async def test_an_own_commit_that_does_not_end_the_job_wakes_nobody_who_waits_for_the_end(watch: Watch) -> None:
    job_id = new_id()
    with watch.end_of(job_id) as end:
        commit(watch, job_id, JobStatus.RUNNING)
        assert not woken(end)
        watch.tell([job_id])  # a change whose outcome is not known here: they have to look
        assert woken(end)
        await end.changed(WHILE)
        commit(watch, job_id, JobStatus.FAILED)
        assert woken(end)
        await end.changed(WHILE)
        assert end.ended is JobStatus.FAILED


async def test_ends_are_heard_of_whoever_waits(watch: Watch, line: Line, ended: list[str]) -> None:
    ids = [new_id(), new_id()]
    await line.say("jobs.failed", *ids)
    await line.say("jobs.started", new_id())
    assert ended == ids


async def test_steps_are_heard_of_once_somebody_follows(watch: Watch, line: Line) -> None:
    steps = {line.catalogue.event(kind) for kind in KINDS}
    assert not steps & set(line.heard)
    async with watch.steps_of("a"), watch.steps_of("b"):
        assert steps < set(line.heard)
    assert len(line.heard) == line.subscribed  # each once


async def test_ends_may_have_been_missed_when_the_bus_was_away(watch: Watch, line: Line, missed: list[None]) -> None:
    assert not missed
    for connected in (False, True):
        for listener in line.changed:
            listener(connected)
    assert len(missed) == 2


async def test_nobody_is_left_behind(watch: Watch) -> None:
    with watch.end_of("a"):
        async with watch.steps_of("a"):
            pass
    assert watch._listening._listeners == {}
