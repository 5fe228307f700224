"""The keeper: a small process between the platform and a server, so that the server never outlives the platform.

It is run by path (`python -I -S keeper.py`), with the standard library alone. Its standard input is the order and the
lifeline: the first line is the order (JSON), and the end of the pipe means stop. The pipe also ends when the platform
is killed with -9. The keeper starts the server, under another user if the order names one, sends the stop signals with
their deadlines, and exits with the server's code. When the keeper itself is killed, the kernel signals the server
(PR_SET_PDEATHSIG; the keeper has one thread, and the signal is set after the change of user, which would clear it).
process.py defines the order.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

PR_SET_DUMPABLE = 4
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_V3 = 0x20080522


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def become(uid: int | None, gid: int, capability: int | None, death_signal: int, keeper: int) -> None:
    """In the child, before exec: change to the user, keep one capability if named, and die with the keeper."""
    linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if uid is not None:
        if linux and capability is not None:
            _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps")
            # access(2), with which PostgreSQL looks for its programs, ignores an ordinary user's capabilities unless
            # this bit is set. Not checked: identity.py knows whether it may be set and whether it matters.
            libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        if linux and capability is not None:
            bit = 1 << capability
            header = _CapHeader(CAPABILITY_V3, 0)
            data = (_CapData * 2)(_CapData(bit, bit, bit), _CapData(0, 0, 0))
            _check(libc.capset(ctypes.byref(header), data), "capset")
            _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "ambient capability")
    if linux:
        _check(libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "pdeathsig")
        if os.getppid() != keeper:  # the keeper died before the signal was set
            os._exit(1)


def read_order() -> dict:  # type: ignore[type-arg]  # our own JSON, written by process.py
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            sys.exit(0)  # the platform is gone already
        line += piece
    order = json.loads(line)
    assert isinstance(order, dict)
    return order


def start(order: dict) -> subprocess.Popen[bytes]:  # type: ignore[type-arg]
    stdin = None
    if order["input"]:
        read_end, write_end = os.pipe()
        os.write(write_end, order["input"].encode())  # a few lines: fits the pipe's buffer
        os.close(write_end)
        stdin = read_end
    me = os.getpid()
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    child = subprocess.Popen(
        order["command"],
        cwd=order["cwd"],
        env=order["env"],
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=output,
        stderr=output,
        pass_fds=order["fds"],
        umask=0o077,
        preexec_fn=lambda: become(order["uid"], order["gid"], order["capability"], order["death_signal"], me),
    )
    os.close(output)
    if stdin is not None:
        os.close(stdin)
    return child


def keep(child: subprocess.Popen[bytes], wake: int, stops: list[tuple[int, float]]) -> int:
    """Wait for the child's exit; once the lifeline ends or a signal comes, send the stop signals in turn. Returns its
    code."""
    watch = select.poll()
    watch.register(0, select.POLLIN | select.POLLHUP)
    watch.register(wake, select.POLLIN)
    stopping, deadline = False, 0.0
    while (code := child.poll()) is None:
        timeout = max(0.0, deadline - time.monotonic()) * 1000 if stopping else None
        asked = False
        for descriptor, _ in watch.poll(timeout):
            data = os.read(descriptor, 512)
            if descriptor == 0 and not data:
                watch.unregister(0)
                asked = True
            elif descriptor == wake:
                asked = asked or any(number != signal.SIGCHLD for number in data)
        if (asked and not stopping) or (stopping and time.monotonic() >= deadline):
            stopping = True
            number, patience = stops.pop(0) if stops else (int(signal.SIGKILL), 5.0)
            deadline = time.monotonic() + patience
            child.send_signal(number)
    return code


def main() -> int:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # as hodei.embedded.secrecy does
    order = read_order()
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        child = start(order)
    except (OSError, subprocess.SubprocessError) as error:
        with open(order["output"], "a") as output:
            output.write(f"cannot start {order['command'][0]}: {error}\n")
        return 127
    code = keep(child, wake, [(int(number), float(patience)) for number, patience in order["stops"]])
    for folder in order["remove"]:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
