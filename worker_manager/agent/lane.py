"""The messages of one kind that the bus has not taken yet, in order: on disk, and in memory while the disk is unusable.

A full or missing disk loses nothing as long as the messages fit in memory, which is limited. The older messages are on
disk, the newer ones in memory; these move to disk as soon as it can be written again.
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
"""Bytes that a message in memory counts besides its payload."""


class NoRoom(Exception):
    """Neither the disk nor memory has room for a message."""


class Lane:
    """The messages that wait for the bus: `spool` on disk, and at most `memory` bytes, a quarter more for essential
    ones.

    `empty` is set while none waits; `news` is set whenever a message is added. `trouble` is why the disk cannot be
    written, None while it can.
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
        """Take over the messages that an earlier start left on disk. Raises OSError."""
        self.spool.open()
        self._look()
        self.news.set()

    def keep(self, message: Message) -> None:
        """Add a message behind the others. Raises NoRoom."""
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
        """Move messages from memory to disk, as many as the disk takes."""
        while self._memory and not self._publishing and self._to_disk(self._memory[0]):
            self._shift()

    def in_memory(self) -> Message | None:
        """The oldest message in memory. It is the next to publish once the disk holds none."""
        return self._memory[0] if self._memory else None

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Publish the oldest message in memory inside this context. It is removed afterwards, unless that raises."""
        self._publishing = True
        try:
            yield
            self._shift()
        finally:
            self._publishing = False
        self._look()

    def remove(self, segment: Segment) -> None:
        """Delete a segment, all of which was published."""
        self.spool.remove(segment)
        self._look()

    def abandon(self) -> list[Message]:
        """Remove and return the messages in memory, which would be lost with this process."""
        left = list(self._memory)
        self._memory.clear()
        self._held = 0
        self._look()
        return left

    def disk_works(self) -> None:
        """Move the messages in memory to disk, which can be written again."""
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
