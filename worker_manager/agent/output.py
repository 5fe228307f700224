"""The output of one execution: kept in order, cut down to head and tail when it exceeds the limit, handed on as lines.

Until half of the limit is used, complete lines are handed on as they come, and unfinished ones when `release` is
called. From then on only the newest half of the limit is kept, as raw bytes, until the execution ends; then come a
remark of how much was left out, if anything was, and the tail. So memory stays limited for any output. When chunks are
delivered more slowly than lines come, `full` is true and the process has to wait. `logs` publishes the chunks.
"""

import math
from collections import deque
from datetime import datetime
from typing import Final

from schemas.events import LogGap, LogLine
from shared.clock import now
from worker_manager.agent.lines import LineSplitter, Stream

CHUNK_BYTES: Final = 64 * 1024
BACKLOG_BYTES: Final = 256 * 1024
LINE_COST: Final = 32
"""Bytes that a line counts besides its text, so that ten million empty lines are not free."""
_BLOCK: Final = 2048
_BLOCK_COST: Final = 128


class Output:
    """The output of one execution; `limit` is in bytes, each line counting LINE_COST more."""

    def __init__(self, limit: int) -> None:
        self._splitters: dict[Stream, LineSplitter] = {
            "stdout": LineSplitter("stdout"),
            "stderr": LineSplitter("stderr"),
        }
        self._pending: deque[LogLine] = deque()
        self._backlog = 0
        self._head_left = limit // 2
        self._tail: Tail | None = None
        self._tail_limit = limit - limit // 2
        self._closed = False
        self._ended = 0

    @property
    def truncated(self) -> bool:
        """Whether any output was left out so far."""
        return self._tail is not None and self._tail.dropped_bytes > 0

    @property
    def waiting(self) -> int:
        """About how many bytes can be taken."""
        return self._backlog

    @property
    def full(self) -> bool:
        """Whether reading should pause until lines are taken."""
        return self._backlog >= BACKLOG_BYTES

    @property
    def empty(self) -> bool:
        """Whether no line can be taken now."""
        return not self._pending and (self._tail is None or not self._closed or self._tail.empty)

    def feed(self, stream: Stream, data: bytes) -> None:
        """Add output that was just read."""
        if self._tail is not None:
            self._tail.add(stream, data, now())
            return
        cost = len(data) + LINE_COST * data.count(b"\n")
        if cost <= self._head_left:
            self._head_left -= cost
            self._add(self._splitters[stream].feed(data, now()))
            return
        self._start_tail(stream, data)

    @property
    def unfinished_since(self) -> float:
        """When (`time.monotonic`) the oldest unfinished line began that is not released; infinite without one."""
        return min(splitter.since for splitter in self._splitters.values())

    def release(self, before: float) -> None:
        """Hand on the unfinished lines that began before that time."""
        for splitter in self._splitters.values():
            self._add(splitter.release(before, now()))

    def close(self, *, ended: int = 0) -> None:
        """End the output: the tail can be taken, too. A last remark contains the number of processes that the agent
        `ended` because they kept the output open."""
        if self._closed:
            return
        self._closed = True
        self._ended = ended
        if self._tail is None:
            self._flush_splitters()
        elif self._tail.dropped_bytes:
            self._tail.trim()
            gap = LogGap(bytes=self._tail.dropped_bytes, lines=self._tail.dropped_lines)
            words = f"output limit reached: {gap.bytes} bytes ({gap.lines} lines) left out here"
            self._remark("left_out", words, missing=gap)

    def take(self, max_bytes: int = CHUNK_BYTES) -> list[LogLine]:
        """The next lines, about `max_bytes` of them: at least one, or an empty list when there is none to take."""
        if self._closed and self._tail is not None:
            while self._backlog < max_bytes and not self._tail.empty:
                stream, data, moment = self._tail.pop()
                self._add(self._splitters[stream].feed(data, moment))
            if self._tail.empty:
                self._flush_splitters()
        lines: list[LogLine] = []
        size = 0
        while self._pending and (not lines or size + _cost(self._pending[0]) <= max_bytes):
            line = self._pending.popleft()
            lines.append(line)
            size += _cost(line)
        self._backlog -= size
        return lines

    def _start_tail(self, stream: Stream, data: bytes) -> None:
        """Fill the head, hand on its unfinished lines, and keep the rest of `data` as the start of the tail."""
        used = max(0, self._head_left // (LINE_COST + 1))
        self._head_left = 0
        self._add(self._splitters[stream].feed(data[:used], now()))
        self.release(math.inf)
        words = "half of the output limit is used: from here on only the end is kept, and shown when the execution ends"
        self._remark("held_back", words)
        self._tail = Tail(self._tail_limit)
        for name, splitter in self._splitters.items():
            self._tail.add(name, splitter.take_rest(), now())
        self._tail.add(stream, data[used:], now())

    def _flush_splitters(self) -> None:
        for splitter in self._splitters.values():
            self._add(splitter.flush(now()))
        if ended := self._ended:
            self._ended = 0
            processes = "1 process" if ended == 1 else f"{ended} processes"
            self._remark("ended", f"the command left {processes} that kept its output open; they were ended")

    def _remark(self, remark: str, message: str, *, missing: LogGap | None = None) -> None:
        self._add([LogLine(timestamp=now(), stream="system", message=message, remark=remark, missing=missing)])

    def _add(self, lines: list[LogLine]) -> None:
        self._pending.extend(lines)
        self._backlog += sum(map(_cost, lines))


class Tail:
    """The newest bytes of an output, both streams in the order of reading. The oldest are dropped for room, and
    counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: deque[tuple[Stream, bytearray, datetime]] = deque()
        self._size = 0
        self._cut: set[Stream] = set()
        self.dropped_bytes = 0
        self.dropped_lines = 0

    @property
    def empty(self) -> bool:
        return not self._blocks

    def add(self, stream: Stream, data: bytes, moment: datetime) -> None:
        """Keep `data`. Small reads share a block, and a large one is split, so that blocks can be dropped one by
        one."""
        last = self._blocks[-1] if self._blocks else None
        if last is not None and last[0] == stream and len(last[1]) + len(data) <= _BLOCK:
            last[1].extend(data)
            self._size += _weight(data)
        else:
            for at in range(0, len(data), _BLOCK):
                block = bytearray(data[at : at + _BLOCK])
                self._blocks.append((stream, block, moment))
                self._size += _weight(block) + _BLOCK_COST
        while self._size > self._limit and self._blocks:
            self._drop()

    def trim(self) -> None:
        """Let each stream that lost bytes begin with a whole line, if one begins in its oldest block."""
        for stream in self._cut:
            block = next((block for name, block, _ in self._blocks if name == stream), bytearray())
            end = block.find(b"\n") + 1
            del block[:end]
            self.dropped_bytes += end
            self.dropped_lines += end > 0

    def pop(self) -> tuple[Stream, bytes, datetime]:
        """Remove and return the oldest block."""
        stream, block, moment = self._blocks.popleft()
        return stream, bytes(block), moment

    def _drop(self) -> None:
        stream, block, _ = self._blocks.popleft()
        lines = block.count(b"\n")
        self._size -= _weight(block) + _BLOCK_COST
        self.dropped_bytes += len(block)
        self.dropped_lines += lines
        self._cut.add(stream)


def _weight(data: bytes | bytearray) -> int:
    return len(data) + LINE_COST * data.count(b"\n")


def _cost(line: LogLine) -> int:
    return len(line.message) + LINE_COST
