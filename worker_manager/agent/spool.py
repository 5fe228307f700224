"""The spool: messages kept on disk, in order, while the bus does not take them.

Append-only segment files in one folder. A record is two lengths (big-endian, 4 bytes each), a JSON header and the
payload; a torn record at a segment's end (the agent was killed while writing) is where that segment ends. Records
are read again segment by segment and a segment is deleted when all of it was published, so a message may be
published twice, under the same id. What is published, and when, is `delivery`'s business.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

log = structlog.stdlib.get_logger(__name__)

SEGMENT_BYTES: Final = 8 << 20
_LENGTHS: Final = struct.Struct(">II")
_SUFFIX: Final = ".spool"


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the bus. `essential` ones (reports) have room in the spool when logs have none left.

    `reports` are the executions whose outcome it carries: this worker answers for them until it is published.
    """

    subject: str
    msg_id: str
    payload: bytes
    essential: bool = False
    reports: tuple[str, ...] = ()


class SpoolFull(Exception):
    """There is no room left for this message."""


class Spool:
    """The messages kept in `folder`; at most `limit` bytes, and a quarter more for essential ones."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._segments: list[Path] = []
        self._writing: Path | None = None
        self._file: int = -1
        self._size = 0
        self._next = 1

    def open(self) -> None:
        """Take over what an earlier start of this worker left. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segments = sorted(self._folder.glob(f"*{_SUFFIX}"))
        self._size = sum(path.stat().st_size for path in self._segments)
        if self._segments:
            self._next = int(self._segments[-1].stem) + 1

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._segments and self._writing is None

    @property
    def size(self) -> int:
        """Bytes kept on disk."""
        return self._size

    def append(self, message: Message) -> None:
        """Keep a message. Raises SpoolFull, and OSError when the disk does not take it."""
        header = orjson.dumps({"subject": message.subject, "msg_id": message.msg_id, "reports": message.reports})
        record = _LENGTHS.pack(len(header), len(message.payload)) + header + message.payload
        if self._size + len(record) > self._limit * (5 if message.essential else 4) // 4:
            raise SpoolFull
        if self._writing is None:
            self._writing = self._folder / f"{self._next:08d}{_SUFFIX}"
            self._next += 1
            self._file = os.open(self._writing, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        written = os.write(self._file, record)
        self._size += written
        if written < len(record):
            self._rotate()  # the torn record must be its segment's last
            raise OSError("the disk is full")
        if os.fstat(self._file).st_size >= SEGMENT_BYTES:
            self._rotate()

    def oldest(self) -> Path | None:
        """The segment to publish next; nothing is added to it any more."""
        if not self._segments:
            self._rotate()
        return self._segments[0] if self._segments else None

    def read(self, segment: Path) -> Iterator[Message]:
        """The messages of a segment. Raises OSError."""
        with segment.open("rb") as file:
            while len(lengths := file.read(_LENGTHS.size)) == _LENGTHS.size:
                header_size, payload_size = _LENGTHS.unpack(lengths)
                header, payload = file.read(header_size), file.read(payload_size)
                if len(header) < header_size or len(payload) < payload_size:
                    break
                told = orjson.loads(header)
                yield Message(told["subject"], told["msg_id"], payload, reports=tuple(told["reports"]))

    def remove(self, segment: Path) -> None:
        """All of the segment was published."""
        self._segments.remove(segment)
        try:
            self._size -= segment.stat().st_size
            segment.unlink()
        except OSError as error:
            log.warning("spool.segment_not_removed", segment=str(segment), error=str(error))

    def close(self) -> None:
        """Write nothing more; what is kept stays for the next start."""
        self._rotate()

    def _rotate(self) -> None:
        if self._writing is not None:
            os.close(self._file)
            self._segments.append(self._writing)
            self._writing, self._file = None, -1
