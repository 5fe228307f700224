"""One process: start, read its pipes, wait for its exit. Others decide how long it runs and how its tree is ended.

Starting costs a fraction of what asyncio's or uvloop's own subprocesses cost: `subprocess.Popen` on the event loop
takes the vfork path as long as no `preexec_fn` is given, and a pidfd reports the exit to the loop. The pipes of a
process that lasts only a few milliseconds are never registered with the loop: its output is read when it ends.
"""

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, Protocol

from shared.process.tree import Session, ticks

Stream = Literal["stdout", "stderr"]

READ_SIZE: Final = 64 * 1024
SETTLE: Final = 0.005
"""Seconds that a process runs before its pipes are watched."""
_READS_AT_ONCE: Final = 16


SHELL: Final = "/bin/sh"
_PROBE_DEADLINE: Final = 10.0
_UNCLEAR: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO})
"""Errors of execve(2) that may be the machine's fault or the program's."""


class StartFailed(Exception):
    """The process could not be started; the message says what was missing or refused."""


class FolderRefused(StartFailed):
    """The folder to start it in is missing, or cannot be entered."""


class MachineFailed(StartFailed):
    """No process at all can be started here: the machine is at fault, not the command."""


class Unwatched(StartFailed):
    """The process began, and was killed with its group at once because the machine could not watch it.

    Descendants that left the group may still run; `session` finds them.
    """

    def __init__(self, message: str, session: Session) -> None:
        super().__init__(message)
        self.session = session


class Listener(Protocol):
    """Receives the events of a process: any output, then `on_exit`, perhaps `on_held`, and last `on_closed`."""

    def on_output(self, stream: Stream, data: bytes) -> None:
        """The process, or a child of it, wrote `data`."""

    def on_exit(self, exit_code: int) -> None:
        """The process itself exited; the code is 128 + N when signal N ended it."""

    def on_held(self) -> None:
        """The process exited, but another process still holds its output open."""

    def on_closed(self) -> None:
        """The process exited and all its output was read; no event follows."""


class Process:
    """A running process and its two pipes. Made by `Launcher.start`; its callbacks run on the loop."""

    __slots__ = (
        "_closed",
        "_closing",
        "_held",
        "_listener",
        "_loop",
        "_paused",
        "_pidfd",
        "_pipes",
        "_popen",
        "_watched",
        "pid",
        "session",
    )

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        pipes: dict[Stream, int],
        *,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
    ) -> None:
        self.pid = popen.pid
        self.session = Session(popen.pid)
        self._popen = popen
        self._pipes = pipes
        self._loop = loop
        self._listener = listener
        self._watched: set[int] = set()
        self._paused = self._closed = self._held = False
        self._closing: asyncio.Future[None] | None = None
        self._pidfd = os.pidfd_open(popen.pid)
        try:
            loop.add_reader(self._pidfd, self._on_pidfd)
        except OSError:
            os.close(self._pidfd)
            raise

    @property
    def exited(self) -> bool:
        """Whether the process itself has exited."""
        return self._pidfd < 0

    @property
    def closed(self) -> bool:
        """Whether it has exited and all its output was read."""
        return self._closed

    @property
    def signalled(self) -> bool:
        """Whether a signal ended it."""
        code = self._popen.returncode
        return code is not None and code < 0

    @property
    def group_lives(self) -> bool:
        """Whether its process group still has a process."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    async def closed_within(self, deadline: float) -> None:
        """Wait until it is closed, for `deadline` seconds at most."""
        if not self._closed:
            self._closing = self._loop.create_future()
            await asyncio.wait({self._closing}, timeout=deadline)

    def watch(self) -> None:
        """Register the pipes with the loop."""
        if self._paused:
            return
        for stream, fd in self._pipes.items():
            if fd not in self._watched:
                self._watched.add(fd)
                self._loop.add_reader(fd, self._on_readable, stream, fd)

    def pause(self) -> None:
        """Stop reading for now: the pipes fill up and the process has to wait."""
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        """Read again after `pause`."""
        if not self._paused:
            return
        self._paused = False
        if self.exited:
            self._read_rest()
        else:
            self.watch()

    def abandon(self) -> None:
        """Read the bytes in the pipes and close them, though another process still holds their other end."""
        self._paused = False
        self._drain()
        for stream, fd in list(self._pipes.items()):
            self._close(stream, fd)
        self._settle()

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process and its group. Does nothing after its exit, when the id may belong to another process."""
        if not self.exited:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _unwatch(self) -> None:
        for fd in self._watched:
            self._loop.remove_reader(fd)
        self._watched.clear()

    def _on_readable(self, stream: Stream, fd: int) -> None:
        if self._read(stream, fd) == "end":
            self._close(stream, fd)
            self._settle()

    def _read(self, stream: Stream, fd: int) -> Literal["data", "nothing", "end"]:
        try:
            data = os.read(fd, READ_SIZE)
        except BlockingIOError:
            return "nothing"
        if not data:
            return "end"
        self._listener.on_output(stream, data)
        return "data"

    def _close(self, stream: Stream, fd: int) -> None:
        if fd in self._watched:
            self._watched.discard(fd)
            self._loop.remove_reader(fd)
        del self._pipes[stream]
        os.close(fd)

    def _on_pidfd(self) -> None:
        # Does what Popen.poll does, at half its cost.
        moment = ticks()
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # waited for elsewhere, or SIGCHLD is ignored: its exit code is unknown
            code = self._popen.returncode = 255
        else:
            if not pid:
                return
            code = self._popen.returncode = os.waitstatus_to_exitcode(status)
        self.session.ended = moment
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        exit_code = code if code >= 0 else 128 - code
        if not self._paused:
            self._drain()
        self._listener.on_exit(exit_code)
        self._read_rest()

    def _drain(self) -> None:
        """Read the bytes in the pipes, up to one pipe's capacity; the loop reads the rest."""
        for stream, fd in list(self._pipes.items()):
            outcome = "data"
            for _ in range(_READS_AT_ONCE):
                if self._paused or (outcome := self._read(stream, fd)) != "data":
                    break
            if outcome == "end":
                self._close(stream, fd)

    def _read_rest(self) -> None:
        if not self._paused:
            self._drain()
            if self._pipes and not self._paused:
                self._tell_held()
                self.watch()
        self._settle()

    def _tell_held(self) -> None:
        if not self._held:
            self._held = True
            self._listener.on_held()

    def _settle(self) -> None:
        if self.exited and not self._pipes and not self._closed:
            self._closed = True
            if self._closing is not None and not self._closing.done():
                self._closing.set_result(None)
            self._listener.on_closed()


class Launcher:
    """Starts processes on the running loop. `close` it when none of them is left."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._fresh: list[Process] = []

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, listener: Listener) -> Process:
        """Start `argv` in a new session, with empty input and exactly the environment `env`.

        The program is searched in the PATH of `env`; `cwd` must exist. Raises FolderRefused, MachineFailed, Unwatched,
        or StartFailed when the command itself is at fault.
        """
        ends: list[int] = []
        try:
            for _ in range(2):
                ends += os.pipe2(os.O_CLOEXEC)
            popen = subprocess.Popen(
                argv,
                stdin=self._null,
                stdout=ends[1],
                stderr=ends[3],
                env=env,
                cwd=cwd,
                start_new_session=True,
                close_fds=True,
            )
        except (OSError, ValueError) as error:
            for fd in ends:
                os.close(fd)
            raise _refusal(error, argv, cwd) from error
        os.close(ends[1])
        os.close(ends[3])
        os.set_blocking(ends[0], False)
        os.set_blocking(ends[2], False)
        try:
            process = Process(popen, {"stdout": ends[0], "stderr": ends[2]}, loop=self._loop, listener=listener)
        except OSError as error:  # the process runs, but no descriptor is left to watch it
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
            os.close(ends[0])
            os.close(ends[2])
            reason = error.strerror or error
            raise Unwatched(
                f"the process was started and killed, because it cannot be watched: {reason}",
                Session(popen.pid, ended=ticks()),
            ) from error
        if not self._fresh:
            self._loop.call_later(SETTLE, self._settle)
        self._fresh.append(process)
        return process

    def close(self) -> None:
        """Close the descriptor of the empty input that all processes share."""
        os.close(self._null)

    def _settle(self) -> None:
        fresh, self._fresh = self._fresh, []
        for process in fresh:
            if not process.exited:
                process.watch()


def try_process() -> None:
    """Start a process that does nothing, and wait for its exit. Raises MachineFailed."""
    try:
        subprocess.run(
            [SHELL, "-c", ":"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=_PROBE_DEADLINE,
            check=True,
        )
    except OSError as error:
        raise MachineFailed(f"no process can be started: {said_of(error)}") from error
    except subprocess.SubprocessError as error:
        raise MachineFailed(f"no process can be run: {error}") from error


def _refusal(error: OSError | ValueError, argv: Sequence[str], cwd: str) -> StartFailed:
    """The error for an `argv` that could not be started in `cwd`; its class shows whether machine or command is at
    fault."""
    if isinstance(error, OSError):
        if error.filename == cwd:
            return FolderRefused(_explain(error, argv, cwd))
        if error.filename is None or (argv[0] == SHELL and error.errno != errno.E2BIG):
            return MachineFailed(f"no process can be started: {said_of(error)}")
        if error.errno in _UNCLEAR:
            try:
                try_process()
            except MachineFailed as failure:
                return failure
    return StartFailed(_explain(error, argv, cwd))


def said_of(error: BaseException) -> str:
    """An error in words. For an OSError: the file that it concerns and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def _explain(error: OSError | ValueError, argv: Sequence[str], cwd: str) -> str:
    """Why `argv` could not be started in `cwd`, in words."""
    if isinstance(error, ValueError):
        return f"the command cannot be started: {error}"
    program = argv[0]
    at_folder = error.filename == cwd
    match error.errno:
        case errno.ENOENT if at_folder:
            return f"no such working directory: {cwd}"
        case errno.ENOENT if "/" in program:
            there = os.path.exists(os.path.join(cwd, program))
            return f"{program} names an interpreter that does not exist" if there else f"no such program: {program}"
        case errno.ENOENT:
            return f"no such program: {program} is not in the PATH"
        case errno.ENOTDIR if at_folder:
            return f"the working directory is not a directory: {cwd}"
        case errno.EACCES | errno.EPERM if at_folder:
            return f"not permitted to enter the working directory: {cwd}"
        case errno.EACCES | errno.EPERM:
            return f"not permitted to run {program}"
        case errno.E2BIG:
            return "the arguments and the environment are too long for this system"
        case errno.ENOEXEC:
            return f"{program} is not something this system can run (no #! line, or another architecture)"
        case _:
            return f"{program} could not be started: {error.strerror or error}"
