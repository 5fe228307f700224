"""A platform of the benchmark's own, and what its processes take."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hodei.client import Client
from hodei.up import Platform, Specs, up
from hodei.up_settings import stand_alone


@dataclass(frozen=True)
class Started:
    """A running platform, and how many seconds it took to start."""

    platform: Platform
    seconds: float


class NotStarted(Exception):
    """`hodei up` ended before the platform ran; `exit_code` is its exit code. It has printed why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"hodei up ended with {exit_code}")
        self.exit_code = exit_code


@asynccontextmanager
async def running_platform(specs: Specs | None = None, /, **settings: str) -> AsyncIterator[Started]:
    """Start a platform as `hodei up` does, with a new data folder, and stop it after the block. `specs` lists other
    processes as its services, `settings` are further environment variables. Raises NotStarted."""
    slots = os.environ.get("HODEI_WORKER_SLOTS") or "8"
    stand_alone(os.environ)
    os.environ["HODEI_WORKER_SLOTS"] = slots
    os.environ.update(settings)
    with tempfile.TemporaryDirectory(prefix="hodei-bench-") as folder:
        start = time.perf_counter()
        ready: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()
        living = asyncio.create_task(up(data_dir=Path(folder), specs=specs, started=ready.set_result))
        living.add_done_callback(lambda _: ready.cancel())
        await asyncio.wait([ready])
        if ready.cancelled():
            raise NotStarted(await living or 1)
        seconds = time.perf_counter() - start
        try:
            yield Started(ready.result(), seconds)
        finally:
            living.cancel()
            await asyncio.wait([living])


def processes() -> dict[str, tuple[float, float]]:
    """Resident MiB and CPU seconds of each part so far."""
    found: dict[str, tuple[float, float]] = {}
    for name, child in _parts():
        cpu = child.cpu_times()
        size, seconds = found.get(name, (0.0, 0.0))
        memory = child.memory_full_info().uss if name == "postgres (all)" else child.memory_info().rss
        found[name] = (size + memory / 2**20, seconds + cpu.user + cpu.system)
    return found


def admin_client(started: Started) -> Client:
    """A client of a platform with access on, with the token of its administrator."""
    urls = started.platform.urls
    token = (started.platform.settings.data_dir / "token").read_text(encoding="ascii").strip()
    return Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"], token=token)


def pids(name: str) -> list[int]:
    """The processes of a part."""
    return [child.pid for part, child in _parts() if part == name]


def processor_seconds() -> float:
    """CPU seconds of all parts so far, to the nanosecond: `processes` counts in hundredths of a second."""
    nanoseconds = 0
    for _, child in _parts():
        for task in Path(f"/proc/{child.pid}/task").iterdir():
            with suppress(OSError):  # the thread has ended
                nanoseconds += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return nanoseconds / 1e9


def _parts() -> Iterator[tuple[str, psutil.Process]]:
    """The platform's processes, each with the name of its part."""
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        if "-m" in command:
            yield command[command.index("-m") + 1], child
        elif command and command[0].endswith("nats-server"):
            yield "nats-server", child
        elif command and "postgres" in command[0]:
            yield "postgres (all)", child
