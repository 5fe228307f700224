"""Publishing an execution's output while it runs: the first lines soon, then chunks by size and time.

One `LogStream` per execution; its chunks are numbered from 1 and leave one after the other. What is kept of an
output, and how lines are made, is `output`'s business.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from schemas.cloudevents import encode_batch
from schemas.events import LogChunk, LogLine, LogSummary
from schemas.subjects import Catalogue
from shared.clock import now
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.identity import Identity
from worker_manager.agent.output import CHUNK_BYTES, Output, Stream
from worker_manager.agent.spool import Message

LINGER: Final = 0.05
"""Seconds that lines wait for more to come."""


class LogStream:
    """The way of one execution's output to the bus.

    `pause` is called when the output comes faster than it leaves, `resume` when there is room again, and `taken`
    once after `close`, when all of it is numbered and on its way: then the summary is final.
    """

    __slots__ = (
        "_catalogue",
        "_closed",
        "_delivery",
        "_execution_id",
        "_identity",
        "_output",
        "_pause",
        "_paused",
        "_resume",
        "_summary",
        "_taken",
        "_task",
        "_timer",
        "_told",
    )

    def __init__(
        self,
        execution_id: str,
        *,
        limit: int,
        delivery: Delivery,
        identity: Identity,
        catalogue: Catalogue,
        pause: Callable[[], None],
        resume: Callable[[], None],
        taken: Callable[[], None],
    ) -> None:
        self._execution_id = execution_id
        self._output = Output(limit)
        self._delivery = delivery
        self._identity = identity
        self._catalogue = catalogue
        self._pause, self._resume, self._taken = pause, resume, taken
        self._paused = self._closed = self._told = False
        self._summary = LogSummary()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def summary(self) -> LogSummary:
        """What was numbered so far."""
        return self._summary

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What is under way to the bus, if anything; to be waited for before the bus is closed."""
        return self._task

    def feed(self, stream: Stream, data: bytes) -> None:
        """Add what was just read."""
        self._output.feed(stream, data)
        if self._output.full and not self._paused:
            self._paused = True
            self._pause()
        self._schedule()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._output.close()
        self._tell_when_taken()
        if self._task is None and not self._told:
            self._go()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        if self._task is not None:
            return
        if self._output.waiting >= CHUNK_BYTES:
            self._go()
        elif self._timer is None and not self._output.empty:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._go)

    def _go(self) -> None:
        self._cancel_timer()
        if not self._output.empty:
            self._task = asyncio.create_task(self._publish())
            self._task.add_done_callback(self._published)

    async def _publish(self) -> None:
        """Publish what is there, in chunks; small rests wait for more unless nothing more comes."""
        while lines := self._output.take():
            self._count(lines)
            chunk = LogChunk(execution_id=self._execution_id, seq=self._summary.chunks, lines=lines)
            self._tell_when_taken()
            if not await self._delivery.deliver(self._message(chunk)):
                await self._delivery.deliver(self._message(self._placeholder(chunk)))
            self._let_in()
            if not self._closed and self._output.waiting < CHUNK_BYTES:
                return

    def _published(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        task.result()
        if not self._closed:
            self._schedule()
        elif not self._output.empty:
            self._go()

    def _tell_when_taken(self) -> None:
        if self._closed and self._output.empty and not self._told:
            self._told = True
            self._taken()

    def _let_in(self) -> None:
        if self._paused and not self._output.full:
            self._paused = False
            self._resume()

    def _count(self, lines: list[LogLine]) -> None:
        said = self._summary
        self._summary = LogSummary(
            chunks=said.chunks + 1,
            lines=said.lines + len(lines),
            bytes=said.bytes + sum(len(line.message.encode()) for line in lines),
            truncated=self._output.truncated,
        )

    def _message(self, chunk: LogChunk) -> Message:
        event = self._identity.sign(chunk, time=now())
        return Message(
            self._catalogue.logs(self._execution_id),
            f"log-{self._execution_id}-{chunk.seq}",
            encode_batch([event]),
            # A placeholder for what did not fit must fit itself.
            essential=len(chunk.lines) == 1 and chunk.lines[0].stream == "system",
        )

    def _placeholder(self, chunk: LogChunk) -> LogChunk:
        """In place of a chunk that there was no room for: readers count on every number being there."""
        message = f"{len(chunk.lines)} lines lost: the bus was away for too long"
        line = LogLine(timestamp=chunk.lines[0].timestamp, stream="system", message=message)
        return LogChunk(execution_id=chunk.execution_id, seq=chunk.seq, lines=[line])
