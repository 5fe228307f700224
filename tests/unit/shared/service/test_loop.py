"""Loops: they run at once and when woken, tell what they did, and outlive their errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from shared.errors import BusUnavailable, Unavailable
from shared.service import Counts, Loop
from shared.service.loop import LONGEST_BACKOFF


class Counting(Loop):
    def __init__(self, interval: float = 3600) -> None:
        super().__init__("counting", interval=interval)
        self.runs = 0
        self.fault: Exception | None = None

    async def run_once(self) -> Counts:
        self.runs += 1
        if self.fault is not None:
            raise self.fault
        return {"runs": self.runs}


@asynccontextmanager
async def running(loop: Counting) -> AsyncIterator[Counting]:
    first = asyncio.ensure_future(loop.next_run())
    await loop.start()
    await first
    try:
        yield loop
    finally:
        await loop.stop()


async def woken(loop: Counting) -> Counts:
    next_run = asyncio.ensure_future(loop.next_run())
    await asyncio.sleep(0)  # let it begin to wait
    loop.wake()
    async with asyncio.timeout(5):
        return await next_run


async def test_the_first_run_comes_at_once() -> None:
    async with running(Counting()) as loop:
        assert loop.runs == 1


async def test_it_runs_when_woken_and_tells_what_it_did() -> None:
    async with running(Counting()) as loop:
        assert await woken(loop) == {"runs": 2}


async def test_it_runs_on_its_interval() -> None:
    async with running(Counting(interval=0.01)) as loop, asyncio.timeout(5):
        before = loop.runs  # on a busy machine the second run may be over already
        assert await loop.next_run() == {"runs": before + 1}


async def test_an_error_is_counted_and_does_not_end_it() -> None:
    async with running(Counting()) as loop:
        loop.fault = LookupError("gone")
        with pytest.raises(LookupError):
            await woken(loop)
        assert (loop.failures, loop.failures_total) == (1, 1)
        loop.fault = None
        await woken(loop)
        assert (loop.failures, loop.failures_total) == (0, 1)


async def test_a_stopped_loop_runs_no_more() -> None:
    async with running(Counting()) as loop:
        pass
    loop.wake()
    await asyncio.sleep(0)
    assert loop.runs == 1


@pytest.mark.parametrize(
    ("fault", "longest"),
    [(LookupError("trial"), LONGEST_BACKOFF), (Unavailable("trial"), 1.0), (BusUnavailable(), 1.0)],
)
async def test_while_something_is_away_it_looks_every_second(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, longest: float
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            enough.set()
            await asyncio.Event().wait()

    loop = Counting()
    loop.fault = fault
    monkeypatch.setattr("shared.service.loop.sleep", sleep)
    with capture_logs():
        await loop.start()
        async with asyncio.timeout(10):
            await enough.wait()
        await loop.stop()
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert max(pauses) == pauses[-1] == longest
