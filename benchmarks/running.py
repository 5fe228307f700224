"""A platform of the benchmark's own, and what its processes take."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from hodei.up import Platform, up
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
async def running_platform(**settings: str) -> AsyncIterator[Started]:
    """Start a platform as `hodei up` does, with a new data folder, and stop it after the block. `settings` are further
    environment variables. Raises NotStarted."""
    slots = os.environ.get("HODEI_WORKER_SLOTS") or "8"
    stand_alone(os.environ)
    os.environ["HODEI_WORKER_SLOTS"] = slots
    os.environ.update(settings)
    with tempfile.TemporaryDirectory(prefix="hodei-bench-") as folder:
        start = time.perf_counter()
        ready: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()
        living = asyncio.create_task(up(data_dir=Path(folder), started=ready.set_result))
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
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        if "-m" in command:
            name = command[command.index("-m") + 1]
        elif command and command[0].endswith("nats-server"):
            name = "nats-server"
        elif command and "postgres" in command[0]:
            name = "postgres (all)"
        else:
            continue
        cpu = child.cpu_times()
        size, seconds = found.get(name, (0.0, 0.0))
        memory = child.memory_full_info().uss if name == "postgres (all)" else child.memory_info().rss
        found[name] = (size + memory / 2**20, seconds + cpu.user + cpu.system)
    return found
