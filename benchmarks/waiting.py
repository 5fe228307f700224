"""Measures how much memory a long queue takes in the scheduler: `python -m benchmarks.waiting`.

It starts servers and a scheduler, and publishes many tasks that fit no worker, each with a large environment, as the
orchestrator would. Then it restarts the scheduler, which must load them from its tables. The memory should not depend
on the size of the environments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil
import uvloop

from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.ports import free_port
from hodei.embedded.postgres import EmbeddedPostgres
from schemas.cloudevents import encode_batch, wrap
from schemas.events import TaskQueued
from schemas.specs import RunSpec
from shared.bus import Bus
from shared.ids import new_id

BOUND_MB = 250
MESSAGE_BYTES = 512 * 1024
PATIENCE = 1800.0


@dataclass(frozen=True)
class Memory:
    """Resident MB (of 1,000,000 bytes) now, and the peak so far."""

    now: float
    peak: float

    @classmethod
    def of(cls, process: Process) -> Memory:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return cls(psutil.Process(process.pid).memory_info().rss / 1e6, peak * 1024 / 1e6)

    def __str__(self) -> str:
        return f"{self.now:.0f} MB, at most {self.peak:.0f} MB"


@asynccontextmanager
async def scheduler(environment: dict[str, str], port: int) -> AsyncIterator[Process]:
    """A scheduler process that leads."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scheduler", env={**os.environ, **environment, "SCHEDULER_PORT": str(port)}
    )
    try:
        await depth(port)
        yield process
    finally:
        process.terminate()
        await process.wait()


async def depth(port: int, at_least: int = 0) -> int:
    """Wait until the scheduler leads with at least so many tasks in its queue. Returns their number. Raises
    TimeoutError."""
    give_up = time.monotonic() + PATIENCE
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        while time.monotonic() < give_up:
            try:
                async with http.get("/metrics") as answer:
                    lines = (await answer.text()).splitlines()
            except aiohttp.ClientError:
                lines = []
            depths = [float(line.split()[1]) for line in lines if "_scheduler_queue_depth{" in line]
            if depths and sum(depths) >= at_least:
                return int(sum(depths))
            await asyncio.sleep(0.2)
    raise TimeoutError(f"no {at_least} tasks wait after {PATIENCE:g} s")


def orders(count: int, env_bytes: int) -> list[TaskQueued]:
    """Tasks that fit no worker, each with a different environment."""
    text = random.Random(1).randbytes(env_bytes // 2).hex()
    moment = datetime.now(UTC)
    return [
        TaskQueued(
            task_id=new_id(),
            job_id=new_id(),
            attempt=1,
            name="main",
            requires={"no": "worker"},
            run=RunSpec(command="true", env={"DATA": text, "ID": str(uuid.uuid4())}),
            queued_at=moment,
        )
        for _ in range(count)
    ]


async def publish(bus: Bus, tasks: Sequence[TaskQueued]) -> None:
    moment = datetime.now(UTC)
    events = [wrap(task, id=new_id(), source="/hodei/benchmark", time=moment) for task in tasks]
    await bus.publish(bus.catalogue.event("tasks.queued"), encode_batch(events), msg_id=events[0].id)


async def run(*, tasks: int, env_bytes: int) -> int:
    with tempfile.TemporaryDirectory(prefix="hodei-waiting-") as folder:
        port = free_port()
        async with EmbeddedNats(Path(folder) / "nats") as nats, EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            environment = {
                "NATS_URL": nats.url,
                "DATABASE_URL": postgres.url,
                "HODEI_LOG_LEVEL": "warning",
                "HODEI_FEED": "off",
            }
            bus = Bus(nats.url, name="benchmark", start_deadline=10)
            await bus.start()
            per_message = max(1, min(500, MESSAGE_BYTES // (env_bytes + 500)))
            async with scheduler(environment, port) as process:
                print(f"before any task: {Memory.of(process)}")
                start = time.monotonic()
                for first in range(0, tasks, per_message):
                    await publish(bus, orders(min(per_message, tasks - first), env_bytes))
                await depth(port, tasks)
                seconds = time.monotonic() - start
                arrived = Memory.of(process)
                print(f"{tasks:,} tasks with {env_bytes:,} bytes wait after {seconds:.0f} s: {arrived}")
            async with scheduler(environment, port) as process:
                await depth(port, tasks)
                loaded = Memory.of(process)
                print(f"the same, after a restart: {loaded}")
            await bus.stop()
    fits = max(arrived.now, loaded.peak) <= BOUND_MB
    print(f"{'within' if fits else 'ABOVE'} the {BOUND_MB} MB that a queue of 200,000 may take")
    return 0 if fits else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--tasks", type=int, default=200_000)
    parser.add_argument("--env-bytes", type=int, default=20_000)
    options = parser.parse_args()
    raise SystemExit(uvloop.run(run(tasks=options.tasks, env_bytes=options.env_bytes)))
