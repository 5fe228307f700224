"""Publishes an execution's output while it runs: the first lines soon, then chunks by size and time.

Each execution has one `LogStream`. Its chunks are numbered from 1, contain their offset in the output, and are
delivered one after the other. `output` makes the lines and decides which are kept.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.cloudevents import encode_batch
from schemas.events import LogChunk, LogGap, LogLine, LogSummary
from schemas.output import NOTHING, Extent, extent
from schemas.subjects import Catalogue
from shared.clock import now
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.identity import Identity
from worker_manager.agent.lines import Stream
from worker_manager.agent.output import CHUNK_BYTES, Output
from worker_manager.agent.spool import Message

LINGER: Final = 0.05
"""Seconds that lines wait for more."""
UNFINISHED: Final = 0.25
"""Seconds after which an unfinished line (a prompt, a progress bar) is published as it is."""


@dataclass(slots=True)
class Dropped:
    """Chunks, from `first` on, that were dropped for lack of room and have no remark in the log yet."""

    first: LogChunk
    chunks: int = 0
    lines: int = 0
    missing: Extent = NOTHING

    def add(self, chunk: LogChunk) -> None:
        """Count another chunk that was dropped."""
        self.chunks += 1
        self.lines += len(chunk.lines)
        self.missing = extent(chunk.lines, self.missing)

    def chunk(self, following: LogChunk | None = None) -> LogChunk:
        """One chunk with a remark that stands for all dropped ones, and for the chunk that follows them."""
        remark = LogLine(
            timestamp=self.first.lines[0].timestamp,
            stream="system",
            message=f"{self.lines} lines were lost here: NATS did not accept them, and the worker's spool was full",
            remark="lost",
            missing=LogGap(bytes=self.missing.bytes, lines=self.missing.lines),
        )
        following_lines = following.lines if following is not None else ()
        stands_for = self.chunks + (following is not None)
        return self.first.model_copy(update={"stands_for": stands_for, "lines": [remark, *following_lines]})


class LogStream:
    """Delivers the output of one execution.

    `pause` is called when the output comes faster than it is delivered, and `resume` when there is room again. `taken`
    is called once after `close`, when all output is numbered and its delivery has begun: from then on the summary is
    final.
    """

    __slots__ = (
        "_catalogue",
        "_closed",
        "_delivery",
        "_dropped",
        "_execution_id",
        "_identity",
        "_nonce",
        "_output",
        "_patience",
        "_pause",
        "_paused",
        "_position",
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
        self._nonce = secrets.token_hex(8)
        """Makes the ids of messages unknown to other workers: the stream drops a message whose id it has seen, whoever
        published that."""
        self._output = Output(limit)
        self._delivery = delivery
        self._identity = identity
        self._catalogue = catalogue
        self._pause, self._resume, self._taken = pause, resume, taken
        self._paused = self._closed = self._told = False
        self._dropped: Dropped | None = None
        self._summary = LogSummary()
        self._position = NOTHING
        self._patience: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def summary(self) -> LogSummary:
        """The counts of all chunks numbered so far."""
        return self._summary

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The delivery in progress, if any."""
        return self._task

    def feed(self, stream: Stream, data: bytes) -> None:
        """Add output that was just read."""
        self._output.feed(stream, data)
        if self._output.full and not self._paused:
            self._paused = True
            self._pause()
        self._schedule()
        self._be_patient()

    def close(self, *, ended: int = 0) -> None:
        """End the output. `ended` is the number of processes that the agent ended because they kept the output open."""
        self._closed = True
        if self._patience is not None:
            self._patience.cancel()
        self._output.close(ended=ended)
        self._tell_when_taken()
        if self._task is None:
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

    def _be_patient(self) -> None:
        """Set a timer that releases an unfinished line in time."""
        since = self._output.unfinished_since
        if self._patience is None and since < math.inf:
            left = max(0.0, since + UNFINISHED - time.monotonic())
            self._patience = asyncio.get_running_loop().call_later(left, self._release)

    def _release(self) -> None:
        self._patience = None
        self._output.release(time.monotonic() - UNFINISHED)
        self._schedule()
        self._be_patient()

    def _go(self) -> None:
        self._cancel_timer()
        if not self._output.empty or (self._closed and self._dropped is not None):
            self._task = asyncio.create_task(self._publish())
            self._task.add_done_callback(self._published)

    async def _publish(self) -> None:
        """Publish the lines in chunks. A small remainder waits for more, unless the output is closed."""
        while lines := self._output.take():
            chunk = self._number(lines)
            self._tell_when_taken()
            await self._hand_on(chunk)
            self._let_in()
            if not self._closed and self._output.waiting < CHUNK_BYTES:
                return
        if self._closed and self._dropped is not None:
            remark, self._dropped = self._dropped.chunk(), None
            await self._delivery.deliver(self._message(remark, essential=True))

    async def _hand_on(self, chunk: LogChunk) -> None:
        """Deliver a chunk, or count it as dropped. The next chunk that has room begins with one remark and stands for
        all dropped ones, because readers expect every number."""
        dropped = self._dropped
        whole = chunk if dropped is None else dropped.chunk(chunk)
        if await self._delivery.deliver(self._message(whole)):
            self._dropped = None
            return
        if dropped is None:
            dropped = self._dropped = Dropped(chunk)
        dropped.add(chunk)

    def _published(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        task.result()
        if not self._closed:
            self._schedule()
        else:
            self._go()

    def _tell_when_taken(self) -> None:
        if self._closed and self._output.empty and not self._told:
            self._told = True
            self._taken()

    def _let_in(self) -> None:
        if self._paused and not self._output.full:
            self._paused = False
            self._resume()

    def _number(self, lines: list[LogLine]) -> LogChunk:
        """Make the next chunk, and add it to the summary."""
        known, begin = self._summary, self._position
        self._position = extent(lines, begin)
        self._summary = LogSummary(
            chunks=known.chunks + 1,
            lines=known.lines + len(lines),
            bytes=known.bytes + sum(len(line.message.encode()) for line in lines),
            truncated=self._output.truncated,
        )
        return LogChunk(
            execution_id=self._execution_id,
            seq=self._summary.chunks,
            lines=lines,
            offset=begin.bytes,
            first_line=begin.lines + 1,
        )

    def _message(self, chunk: LogChunk, *, essential: bool = False) -> Message:
        event = self._identity.sign(chunk, time=now())
        return Message(
            self._catalogue.logs(self._execution_id, self._identity.worker_id),
            f"log-{self._nonce}-{chunk.seq}" + (f"-{chunk.stands_for}" if chunk.stands_for > 1 else ""),
            encode_batch([event]),
            essential=essential,
            log=True,
        )
