"""What the bus has not taken yet of one kind of message, in order: on disk, and in memory while the disk takes none.

A disk that is full or gone costs nothing as long as what comes fits in memory, which is bounded. The older messages
are on disk, the newer ones in memory; as soon as the disk takes messages again they move there.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from worker_manager.agent.spool import Message, Segment, Spool, SpoolFull

log = structlog.stdlib.get_logger(__name__)

OVERHEAD: Final = 512
"""Bytes that a message in memory counts beside its payload."""


class NoRoom(Exception):
    """Neither the disk nor memory has room for a message."""


class Lane:
    """The messages that wait for the bus: `spool` on disk, `memory` bytes at most, a quarter more for essential ones.

    `empty` is set while none waits, `news` whenever one more does. `trouble` says why the disk takes no messages, None
    while it does.
    """

    def __init__(self, spool: Spool, *, memory: int) -> None:
        self.spool = spool
        self.trouble: str | None = None
        self.empty = asyncio.Event()
        self.empty.set()
        self.news = asyncio.Event()
        self._memory: deque[Message] = deque()
        self._held = 0
        self._limit = memory
        self._publishing = False

    def open(self) -> None:
        """Take over what an earlier start left on disk. Raises OSError."""
        self.spool.open()
        self._look()
        self.news.set()

    def keep(self, message: Message) -> None:
        """Have a message wait behind the others. Raises NoRoom."""
        self.spill()
        if self._memory or not self._to_disk(message):
            size = len(message.payload) + OVERHEAD
            if self._held + size > self._limit * (5 if message.essential else 4) // 4:
                raise NoRoom(self.trouble or "the spool is full")
            self._memory.append(message)
            self._held += size
        self.empty.clear()
        self.news.set()

    def spill(self) -> None:
        """Move to disk what waits in memory, as much as the disk takes."""
        while self._memory and not self._publishing and self._to_disk(self._memory[0]):
            self._shift()

    def in_memory(self) -> Message | None:
        """The oldest message in memory: the next one once nothing is left on disk."""
        return self._memory[0] if self._memory else None

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """The oldest message in memory is being published; it is forgotten unless that fails."""
        self._publishing = True
        try:
            yield
            self._shift()
        finally:
            self._publishing = False
        self._look()

    def remove(self, segment: Segment) -> None:
        """Keep no more of a segment: all of it was published."""
        self.spool.remove(segment)
        self._look()

    def abandon(self) -> list[Message]:
        """What would be lost with this process: forget it."""
        left = list(self._memory)
        self._memory.clear()
        self._held = 0
        self._look()
        return left

    def disk_works(self) -> None:
        """Something could be written: move there what waits in memory."""
        self._note(None)
        self.spill()

    def _to_disk(self, message: Message) -> bool:
        try:
            self.spool.append(message)
        except SpoolFull:
            return False
        except OSError as error:
            self._note(error)
            return False
        self._note(None)
        return True

    def _note(self, error: OSError | None) -> None:
        if error is not None:
            if self.trouble is None:
                log.warning("spool.unusable", error=str(error))
            self.trouble = f"the spool cannot be written: {error.strerror or error}"
        elif self.trouble is not None:
            log.info("spool.usable_again")
            self.trouble = None

    def _shift(self) -> None:
        self._held -= len(self._memory.popleft().payload) + OVERHEAD

    def _look(self) -> None:
        if self.spool.empty and not self._memory:
            self.empty.set()
        else:
            self.empty.clear()
