"""What becomes of a log when there is no room for it anywhere: one remark in its place, every number accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from schemas.cloudevents import decode_batch
from schemas.events import LogChunk
from schemas.subjects import Catalogue
from worker_manager.agent.identity import Identity
from worker_manager.agent.logs import LogStream
from worker_manager.agent.spool import Message


class Taker:
    """Takes the messages that it has room for, `essential` ones always."""

    def __init__(self) -> None:
        self.room = True
        self.chunks: list[LogChunk] = []
        self._news = asyncio.Condition()
        self.asked = 0

    async def deliver(self, message: Message) -> bool:
        async with self._news:
            self.asked += 1
            if self.room or message.essential:
                [event] = decode_batch(LogChunk.event_type, message.payload)
                assert isinstance(event.data, LogChunk)
                self.chunks.append(event.data)
            self._news.notify_all()
        return self.room or message.essential

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(condition)

    def numbers(self) -> list[int]:
        return [number for chunk in self.chunks for number in range(chunk.seq, chunk.seq + chunk.stands_for)]

    def lines(self) -> list[str]:
        return [line.message for chunk in self.chunks for line in chunk.lines]


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def stream(taker: Taker) -> LogStream:
    return LogStream(
        "e",
        limit=1 << 20,
        delivery=taker,  # type: ignore[arg-type]  # all that a stream needs of one
        identity=Identity("w", "worker", "default"),
        catalogue=Catalogue("test"),
        pause=lambda: None,
        resume=lambda: None,
        taken=lambda: None,
    )


async def write(stream: LogStream, taker: Taker, text: str) -> None:
    """Write some output, and wait until it was offered for delivery."""
    asked = taker.asked
    stream.feed("stdout", text.encode())
    await taker.until(lambda: taker.asked > asked)
    if stream.task is not None:
        await stream.task


async def test_a_run_of_dropped_chunks_has_one_remark_before_what_follows(stream: LogStream, taker: Taker) -> None:
    await write(stream, taker, "one\n")
    taker.room = False
    for text in ("two\nthree\n", "four\n", "five\n"):
        await write(stream, taker, text)
    taker.room = True
    await write(stream, taker, "six\n")
    await write(stream, taker, "seven\n")
    stream.close()
    remark = "4 lines were lost here: NATS did not accept them, and the worker's spool was full"
    assert taker.lines() == ["one", remark, "six", "seven"]
    assert taker.numbers() == list(range(1, stream.summary.chunks + 1))


async def test_what_was_dropped_at_the_end_is_remarked_on_when_the_log_is_over(stream: LogStream, taker: Taker) -> None:
    await write(stream, taker, "one\n")
    taker.room = False
    await write(stream, taker, "two\n")
    stream.close()
    await taker.until(lambda: len(taker.chunks) == 2)
    assert taker.lines()[0] == "one"
    assert taker.lines()[1].startswith("1 lines were lost here")
    assert taker.numbers() == list(range(1, stream.summary.chunks + 1))
