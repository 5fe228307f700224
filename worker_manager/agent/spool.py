"""The spool: messages kept on disk, in order, while the bus does not take them.

It consists of append-only segment files in one folder. A record is two lengths (big-endian, 4 bytes each), a JSON
header and the payload; a segment ends at a torn record (the agent was killed while writing). A segment is deleted when
all of it was published, so a message may be published twice, under the same id. A segment is read through the
descriptor that wrote it, so that it is published even if its file was deleted. `delivery` decides when messages are
published.
"""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
import structlog

log = structlog.stdlib.get_logger(__name__)

SEGMENT_BYTES: Final = 8 << 20
_LENGTHS: Final = struct.Struct(">II")
_SUFFIX: Final = ".spool"
_TRIES: Final = 100
"""How many numbers in a row may belong to existing files before making a new segment fails."""
_TEST: Final = "test"
TEST_BYTES: Final = 64 << 10
"""Bytes that the disk must still take to be usable."""
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the bus: a report, or a chunk of a `log`, which waits behind all reports.

    `essential` messages (outcomes, remarks about dropped chunks) have room when others have none left. `reports` are
    the executions whose outcomes it carries: the worker names them as unsettled until the message is published.
    """

    subject: str
    msg_id: str
    payload: bytes
    essential: bool = False
    reports: tuple[str, ...] = ()
    log: bool = False


class SpoolFull(Exception):
    """The spool has no room for this message."""


@dataclass(slots=True, eq=False)
class Segment:
    """One file of the spool. `reports` are the executions whose outcomes it contains."""

    path: Path
    size: int = 0
    fd: int = -1
    at: int = 0
    """The offset up to which it was published, in bytes."""
    reports: list[str] = field(default_factory=list)

    def append(self, record: bytes) -> None:
        """Write a record completely or not at all. Raises OSError."""
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        except OSError:
            with suppress(OSError):  # it stays torn; as no record follows after an error, it ends the segment
                os.ftruncate(self.fd, self.size)
            raise
        self.size += len(record)

    @property
    def removed(self) -> bool:
        """Whether its file has vanished from its folder, so that the next start of the agent would not find it."""
        return self.fd >= 0 and os.fstat(self.fd).st_nlink == 0

    @property
    def at_path(self) -> bool:
        """Whether its path still leads to this open segment, not to a file of another process. Raises OSError."""
        try:
            return os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def read(self) -> Iterator[bytes]:
        """The records that were not published yet. A record counts as published when the next one is requested.

        Raises OSError.
        """
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        while len(lengths := os.pread(self.fd, _LENGTHS.size, self.at)) == _LENGTHS.size:
            length = _LENGTHS.size + sum(_LENGTHS.unpack(lengths))
            if self.at + length > self.size:
                return
            yield os.pread(self.fd, length, self.at)
            self.at += length

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Spool:
    """The messages kept in `folder`: at most `limit` bytes, and a quarter more for essential ones."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._segments: list[Segment] = []
        self._writing: Segment | None = None
        self._size = 0
        self._next = 1

    def open(self) -> None:
        """Take over the segments that an earlier start of this worker left. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = sorted(path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())
        self._segments = [Segment(path, path.stat().st_size) for path in paths]
        for segment in self._segments:
            segment.reports = self._reports_in(segment)
        self._size = sum(segment.size for segment in self._segments)
        if paths:
            self._next = int(paths[-1].stem) + 1

    @property
    def reports(self) -> list[str]:
        """The executions whose outcomes are kept, as far as the segments can be read."""
        return [execution_id for segment in self._segments for execution_id in segment.reports]

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._segments and self._writing is None

    @property
    def size(self) -> int:
        """Bytes kept on disk."""
        return self._size

    def append(self, message: Message) -> None:
        """Keep a message. Raises SpoolFull, and OSError when the disk does not take it: then none of it is kept, and
        the next message begins a new segment."""
        header = orjson.dumps({"subject": message.subject, "msg_id": message.msg_id, "reports": message.reports})
        record = _LENGTHS.pack(len(header), len(message.payload)) + header + message.payload
        if self._size + len(record) > self._limit * (5 if message.essential else 4) // 4:
            raise SpoolFull
        if self._writing is not None and self._writing.removed:
            self._rotate()
        segment = self._writing if self._writing is not None else self._create()
        try:
            segment.append(record)
        except OSError:
            self._writing = segment
            self._rotate()
            raise
        self._writing = segment
        segment.reports += message.reports
        self._size += len(record)
        if segment.size >= SEGMENT_BYTES:
            self._rotate()

    def test(self) -> None:
        """Write some bytes where the next segment would be, and delete them again. Raises OSError."""
        segment = Segment(self._folder / _TEST)
        with suppress(FileNotFoundError):
            segment.path.unlink()
        try:
            segment.fd = self._open(segment.path)
            segment.append(bytes(TEST_BYTES))
        finally:
            segment.close()
            segment.path.unlink(missing_ok=True)

    def oldest(self) -> Segment | None:
        """The segment to publish next; no record is added to it any more."""
        if not self._segments:
            self._rotate()
        return self._segments[0] if self._segments else None

    def read(self, segment: Segment) -> Iterator[Message]:
        """The messages of a segment that were not published yet. Raises OSError, ValueError, KeyError or TypeError when
        it cannot be read."""
        for record in segment.read():
            header_size, _ = _LENGTHS.unpack_from(record)
            header = orjson.loads(record[_LENGTHS.size : _LENGTHS.size + header_size])
            payload = record[_LENGTHS.size + header_size :]
            yield Message(header["subject"], header["msg_id"], payload, reports=tuple(header["reports"]))

    def remove(self, segment: Segment) -> None:
        """Delete a segment, published or not."""
        self._segments.remove(segment)
        self._size -= segment.size
        try:
            if segment.fd < 0 or segment.at_path:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("spool.segment_not_removed", segment=str(segment.path), error=str(error))
        finally:
            segment.close()

    def give_up_newest(self) -> Segment | None:
        """Delete the newest segment to free room on the disk. Returns it, or None when there is none."""
        self._rotate()
        if not self._segments:
            return None
        segment = self._segments[-1]
        self.remove(segment)
        return segment

    def close(self) -> None:
        """Close the files; the messages in them stay for the next start."""
        self._rotate()
        for segment in self._segments:
            segment.close()

    def _reports_in(self, segment: Segment) -> list[str]:
        found: list[str] = []
        look = Segment(segment.path, segment.size)
        try:
            for message in self.read(look):
                found += message.reports
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("spool.reports_unknown", segment=str(segment.path), error=str(error))
        finally:
            look.close()
        return found

    def _create(self) -> Segment:
        """A new segment. A number whose file exists already, made by another process, is skipped. Raises OSError."""
        for _ in range(_TRIES):
            path = self._folder / f"{self._next:08d}{_SUFFIX}"
            try:
                segment = Segment(path, fd=self._open(path))
            except FileExistsError:
                self._next += 1
                continue
            self._next += 1
            return segment
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))

    def _open(self, path: Path) -> int:
        """Create a file, and its folder if that has vanished."""
        try:
            return os.open(path, _NEW, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(path, _NEW, 0o600)

    def _rotate(self) -> None:
        """Begin a new segment with the next message."""
        segment, self._writing = self._writing, None
        if segment is None:
            return
        self._segments.append(segment)
        if not segment.size:
            self.remove(segment)
