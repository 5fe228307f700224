"""A Docker engine of our own in a little world of its own, which ends with it.

The engine and the command that uses it live in new network, mount and process namespaces: bridges, firewall rules,
published ports, mounts and containers are theirs alone and vanish when the first process there ends, however it
ends. The way out, for builds, is a user-mode network stack (slirp4netns) that touches nothing of the machine's.
What lies on disk is one temporary folder, and cgroups under one name; both are removed here, or, after a kill,
by the next start.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tests.standins import debian, engine, images
from tests.standins.commands import run as run_command
from tests.standins.commands import say
from tests.standins.errors import StandInError

INSIDE: Final = "inside"
PROGRAMS: Final = ("dockerd", "docker", "docker-compose", "debootstrap", "iptables", "slirp4netns", "ip", "unshare")
PREFIX: Final = "hodei-engine-"
NAMESPACES: Final = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
PATIENCE: Final = 30.0


def run(wanted: Sequence[images.Image], line: Sequence[str]) -> int:
    """The exit code of the command, run beside an engine of our own. Raises StandInError."""
    if os.geteuid() != 0:
        raise StandInError("no Docker engine answers, and only root can start one: start it, or run this as root")
    if not Path("/dev/net/tun").exists():
        raise StandInError("no Docker engine answers, and one of our own needs /dev/net/tun: modprobe tun")
    debian.install(PROGRAMS)
    with _folder() as folder:
        say("no engine answers: starting one of our own")
        names = ",".join(image.name for image in wanted)
        world = subprocess.Popen(
            [
                # whoever kills us ends the world too
                *("setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES),
                *(sys.executable, "-m", __package__, INSIDE, "--folder", str(folder), "--cwd", os.getcwd()),
                *("--images", names, "--", *line),
            ],
            # Where `-m` finds us. On the PYTHONPATH we would hide docker-compose 1.29's own package from it.
            cwd=Path(__file__).parents[2],
        )
        try:
            with _way_out(world, folder):
                return _wait(world)
        finally:
            if world.poll() is None:
                world.kill()
                world.wait()


def inside(folder: Path, wanted: Sequence[images.Image], line: Sequence[str], *, cwd: Path) -> int:
    """In the new namespaces: the engine's whole life, and the command's exit code. Raises StandInError."""
    run_command(["ip", "link", "set", "lo", "up"])
    _until(lambda: Path("/proc/net/route").read_text().count("\n") > 1, "the network")
    socket = folder / "docker.sock"
    environment = engine.client_environment(str(socket))
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                "dockerd", f"--host=unix://{socket}", f"--pidfile={folder / 'dockerd.pid'}",
                f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}", f"--cgroup-parent=/{folder.name}",
            ],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _until(lambda: daemon.poll() is not None or engine.answers(environment), "the engine")
        if daemon.poll() is not None:
            last = (folder / "dockerd.log").read_text().strip().rpartition("\n")[2]
            raise StandInError(f"the engine ended with exit code {daemon.returncode}: {last}")
        os.chdir(cwd)
        return engine.run_with(wanted, line, environment, ours=True)
    finally:
        daemon.terminate()
        try:
            daemon.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _wait(world: subprocess.Popen[bytes]) -> int:
    try:
        return world.wait()
    except KeyboardInterrupt:  # the command was interrupted with us, and the world is putting its things away
        return world.wait(PATIENCE)


def _until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise StandInError(f"{what} was not there within {PATIENCE:g} s")
        time.sleep(0.05)


# -- the way out ---------------------------------------------------------------------------------------


@contextmanager
def _way_out(world: subprocess.Popen[bytes], folder: Path) -> Iterator[None]:
    """Connections from the new network namespace go out as if this process made them, and none comes in."""
    children = Path(f"/proc/{world.pid}/task/{world.pid}/children")
    _until(lambda: world.poll() is not None or children.read_text().strip(), "the namespace")
    if world.poll() is not None:
        raise StandInError("no new namespaces could be made on this machine")
    pid = children.read_text().split()[0]
    with (folder / "network.log").open("wb") as log:
        stack = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
             pid, "tap0"],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        stack.terminate()
        stack.wait()


# -- what lies on disk ---------------------------------------------------------------------------------


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, held by a lock for as long as it is used; it gets its name when the lock is held."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with (left / "lock").open("ab") as lock:
            if _is_ours(lock):
                _remove(left)
    nameless = Path(tempfile.mkdtemp(prefix="hodei-nameless-"))
    with (nameless / "lock").open("ab") as lock:
        _is_ours(lock)
        folder = nameless.rename(nameless.with_name(PREFIX + nameless.name.rpartition("-")[2]))
        try:
            yield folder
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is being removed is removed to the end
            _remove(folder)


def _is_ours(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        for path, _, _ in os.walk(hierarchy / folder.name, topdown=False):
            os.rmdir(path)
    shutil.rmtree(folder)
