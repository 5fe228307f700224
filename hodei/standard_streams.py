"""This program's standard streams: always open, and with an error of their own when they cannot be written.

A pipe whose reader does not read, as with `| less`, fills up, and then a write to it blocks the program. So the output
of commands is written when there is room (`until_ready`), and this program's own messages on standard error are held
back until then, or until it ends. Each command decides what to do when its output is closed: `hodei run` cancels its
job, the others end.
"""

import asyncio
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self, TextIO

from hodei.embedded.terminal import say

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE: Final = select.PIPE_BUF
"""The bytes that a pipe takes without blocking when it is ready."""
MOST_HELD: Final = 1 << 16
"""The most characters of this program's own messages that are held back; the oldest are dropped beyond that."""
INTERRUPTED: Final = 128 + signal.SIGINT
_NAMES: Final = {1: "standard output", 2: "standard error"}


class ClosedOutput(OSError):
    """A standard stream cannot be written: its reader has closed it, or its disk is full.

    It has no errno, because typer and rich would handle EPIPE themselves and exit with 1.
    """

    def __init__(self, stream: str, cause: OSError) -> None:
        super().__init__(f"{stream}: {cause.strerror}")
        self.stream = stream
        self.broken_pipe = cause.errno == errno.EPIPE

    @classmethod
    def without_reader(cls) -> Self:
        """The error for a write to standard output after its reader has closed it."""
        return cls(_NAMES[1], BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def is_ready(descriptor: int) -> bool:
    """Whether up to PIECE bytes can be written without blocking, or a write would fail at once."""
    look = select.poll()
    look.register(descriptor, select.POLLOUT)
    return bool(look.poll(0))


async def until_ready(stream: TextIO) -> None:
    """Return when up to PIECE bytes can be written without blocking, or a write would fail at once."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # it is closed, or not a file at all
        return
    if is_ready(descriptor):
        return
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)


@contextmanager
def prepared() -> Iterator[None]:
    """Open missing streams (`>&-`) on the null device, and end quietly when standard output is closed.

    Exits with 128 + SIGPIPE, as shells show it, when the pipe's reader has closed it. Exits with 1 and a line on
    standard error when a write fails otherwise. If the block exits with a code of its own, that code stays; after an
    interrupt, unwritten output is dropped. Characters that an encoding cannot express are replaced.
    """
    _open_missing()
    out, err = (io.BufferedWriter(_File(number, "w", closefd=False)) for number in (1, 2))
    sys.stdout = io.TextIOWrapper(out, _encoding(sys.stdout), errors="replace", line_buffering=out.isatty())
    sys.stderr = remarks = _Remarks(err, _encoding(sys.stderr))
    try:
        try:
            yield
        except SystemExit as leaving:
            if not leaving.code:
                sys.stdout.flush()
            elif leaving.code == INTERRUPTED:
                _to_null_device(out)
            raise
        sys.stdout.flush()
    except ClosedOutput as error:
        if error.broken_pipe:
            sys.exit(128 + signal.SIGPIPE)
        say(str(error))
        sys.exit(1)
    finally:
        remarks.let_go()
        _drop_what_is_left(out)
        _drop_what_is_left(err)


class _File(io.FileIO):
    """A standard stream whose errors are ClosedOutput."""

    def write(self, data: "ReadableBuffer", /) -> int:
        while True:
            try:
                written: int | None = super().write(data)
            except OSError as error:
                raise ClosedOutput(_NAMES[self.fileno()], error) from error
            if written is not None:
                return written
            select.select([], [self], [])  # the stream is full, and in non-blocking mode


class _Remarks(io.TextIOWrapper):
    """Standard error for this program's own messages; those that cannot be written are dropped.

    The output of commands goes to its `buffer`, which raises ClosedOutput.
    """

    def __init__(self, buffer: "io.BufferedWriter[_File]", encoding: str) -> None:
        super().__init__(buffer, encoding, errors="replace", line_buffering=True)
        self._held = ""

    def write(self, text: str, /) -> int:
        self._held = (self._held + text)[-MOST_HELD:]
        while self._held and is_ready(self.fileno()):
            piece, self._held = self._held[: PIECE // 4], self._held[PIECE // 4 :]  # a character has at most 4 bytes
            self._write_now(piece)
        return len(text)

    def flush(self) -> None:
        with suppress(ClosedOutput):
            super().flush()

    def let_go(self) -> None:
        """Write the messages that are held back, even if that blocks."""
        held, self._held = self._held, ""
        self._write_now(held)

    def _write_now(self, text: str) -> None:
        with suppress(ClosedOutput):
            super().write(text)
            super().flush()


def _encoding(stream: TextIO | None) -> str:
    return "utf-8" if stream is None else stream.encoding


def _open_missing() -> None:
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)  # programs that this one starts inherit standard streams, too
    os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # it lives as long as the program


def _drop_what_is_left(stream: "io.BufferedWriter[_File]") -> None:
    """Flush the stream or drop its content: Python flushes at exit, and would report an error for a failed write."""
    try:
        stream.flush()
    except ClosedOutput:
        _to_null_device(stream)


def _to_null_device(stream: "io.BufferedWriter[_File]") -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
