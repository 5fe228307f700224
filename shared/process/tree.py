"""Finds and kills process trees by a mark in their environment: mechanism only, Linux only, no business rules.

A process that leaves its session and its parent (`setsid`, double fork) still carries the environment it was started
with, so a variable with a unique value marks a whole tree for good; build servers find leftovers of builds in the same
way. A process that also cleared its environment is found while its session or its parent is. Here: the scan of /proc,
and killing for callers that may block (a provider that cleans up after a dead agent). The graceful ending of one
execution (TERM, grace period, KILL) is in the agent.
"""

import errno
import os
import select
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

EXECUTION_MARK: Final = "HODEI_EXECUTION_ID"
WORKER_MARK: Final = "HODEI_WORKER_ID"
INCARNATION_MARK: Final = "HODEI_WORKER_INCARNATION"

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_KILL_ROUNDS: Final = 50
_KILL_WAIT: Final = 1.0
_MAX_ENVIRON: Final = 4 << 20
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of the reading process itself: they do not mean that the process it tried to read has ended."""


@dataclass(frozen=True, slots=True)
class Member:
    """One living process: its id, its parent's id, its process group, its session, and its start time in `ticks`."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


@dataclass(slots=True)
class Session:
    """The session of a process that was started as its leader; `id` is the leader's process id.

    `ended` is when the leader was waited for, in `ticks`; None before. From then on the session may end, and the kernel
    may give its id to another process and that process's session.
    """

    id: int
    ended: int | None = None


def ticks() -> int:
    """The current time in clock ticks since boot, the unit of a process's start time in /proc."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_SECOND)


def mark(name: str, value: str) -> bytes:
    """One environment variable in the form that `find` searches for."""
    return f"{name}={value}".encode()


def find(marks: Iterable[bytes], *, session: Session | None = None) -> list[Member]:
    """Every living process that carries all `marks` or belongs to `session`, with all its descendants.

    Once the leader of `session` was waited for, its members count only if one of them was started before that: while
    that one lives, the kernel does not reuse the session's id.

    Takes some ten microseconds per process on the machine, and blocks only on /proc. The caller itself and zombies are
    never included. Only root sees the environment of other users' processes. Raises OSError when the caller has no file
    descriptor or memory left for the scan.
    """
    wanted = tuple(marks)
    everyone = {member.pid: member for member in map(_stat, _pids()) if member is not None}
    everyone.pop(os.getpid(), None)
    found = _in_session(session, everyone.values()) if session is not None else set()
    if wanted:
        found |= {pid for pid in everyone if pid not in found and _carries(pid, wanted)}
    grown = found
    while grown:
        grown = {pid for pid, member in everyone.items() if member.parent in grown and pid not in found}
        found |= grown
    return [everyone[pid] for pid in sorted(found)]


def reap(*, incarnation: str | None = None, worker_id: str | None = None) -> int:
    """Kill (KILL) all processes that executions of a dead agent left running. Returns the number of processes killed.

    Give the agent's incarnation if it is known. With `worker_id` it kills all executions of that worker, also those of
    a living agent, but never the agent itself. Blocks for about a second until all have ended; call it in a thread.
    """
    if incarnation is not None:
        return kill_marked([mark(INCARNATION_MARK, incarnation)])
    if worker_id is not None:
        return kill_marked([mark(WORKER_MARK, worker_id), f"{EXECUTION_MARK}=".encode()])
    return 0


def kill_marked(marks: Iterable[bytes]) -> int:
    """Kill every process that carries all `marks`, and its descendants, in rounds until a scan finds none."""
    wanted = tuple(marks)
    killed: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        members = find(wanted)
        if not members:
            break
        _kill_and_wait([member.pid for member in members])
        killed.update(member.pid for member in members)
    return len(killed)


def _kill_and_wait(pids: Iterable[int]) -> None:
    poll = select.poll()
    watched: set[int] = set()
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                watched.add(fd)
                poll.register(fd, select.POLLIN)
                with suppress(PermissionError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
        waiting = set(watched)
        deadline = time.monotonic() + _KILL_WAIT
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                waiting.discard(fd)
    finally:
        for fd in watched:
            os.close(fd)


def _in_session(session: Session, everyone: Iterable[Member]) -> set[int]:
    members = [member for member in everyone if member.session == session.id]
    # Not `<`: a tick is 10 ms, and the kernel does not reuse a process id within that time.
    if session.ended is None or any(member.started <= session.ended for member in members):
        return {member.pid for member in members}
    return set()


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> Member | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError as error:  # it has ended meanwhile
        if error.errno in _SCARCE:
            raise
        return None
    # The name is in parentheses, and may itself contain parentheses and spaces.
    fields = text[text.rindex(b")") + 2 :].split(b" ", 20)
    state, parent, group, session = fields[:4]
    if state in (b"Z", b"X"):
        return None
    return Member(pid, int(parent), int(group), int(session), started=int(fields[19]))


def _carries(pid: int, wanted: tuple[bytes, ...]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            environ = file.read(_MAX_ENVIRON)
    except OSError as error:  # it has ended, or belongs to another user
        if error.errno in _SCARCE:
            raise
        return False
    if not all(text in environ for text in wanted):
        return False
    variables = environ.split(b"\0")
    return all(
        any(variable == text or (text.endswith(b"=") and variable.startswith(text)) for variable in variables)
        for text in wanted
    )
