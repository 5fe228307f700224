"""A small company's platform: what the pages of the console show in pictures, and in tests of all pages."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from hodei.client import Client

_COMPILE: Final = r"""
echo "collecting sources"
for n in 1 2 3 4; do printf '\033[32mok\033[0m   compiled part %d of 4\n' $n; sleep 0.3; done
printf '\033[33mwarning\033[0m: part 3 uses a call that will go away\n' >&2
"""
_TEST: Final = r"""
import os, random, sys, time
target = os.environ["TARGET"]
print(f"running 18 tests on {target}", flush=True)
for n in range(1, 19):
    print(f"\033[32mPASS\033[0m test_{n:02} ({n % 7 + 1} ms)", flush=True)
    time.sleep(random.uniform(0.01, 0.06))
    if target == "arm64" and n == 14 and os.environ["BROKEN"] == "yes":
        print("\033[31mFAIL\033[0m test_15: expected 4096 bytes a page, found 16384", file=sys.stderr)
        print("     at memory/pages.py line 118", file=sys.stderr)
        sys.exit(1)
print("all tests passed")
"""
RELEASE: Final = {
    "name": "release",
    "description": "Compiles, tests on each target, packages and publishes.",
    "params": {"broken": {"type": "choice", "choices": ["no", "yes"], "default": "no"}},
    "steps": [
        {"name": "fetch", "command": "echo fetching; sleep 0.4; echo COMMIT=4f1c2ab >> $HODEI_OUTPUT"},
        {"name": "compile", "depends_on": ["fetch"], "command": textwrap.dedent(_COMPILE)},
        {"name": "lint", "depends_on": ["fetch"], "command": "echo 'no loose ends found'; sleep 0.5"},
        {
            "name": "test",
            "depends_on": ["compile"],
            "type": "python",
            "command": textwrap.dedent(_TEST),
            "matrix": {"target": ["x86-64", "arm64", "riscv64"], "fail_fast": False},
            "env": {"TARGET": "${{ matrix.target }}", "BROKEN": "${{ params.broken }}"},
        },
        {"name": "package", "depends_on": ["test", "lint"], "command": "echo packed release.tar; sleep 0.3"},
        {"name": "publish", "depends_on": ["package"], "command": "echo published"},
    ],
}

AT_ONCE: Final = 3
"""How many runs of the pipeline there are at once."""


@dataclass(frozen=True)
class Example:
    """What is there: one of each, by its id; `failed` is a job."""

    pipeline: str
    failed: str
    schedule: str
    worker: str

    @property
    def pages(self) -> dict[str, tuple[str, str]]:
        """Every page of the console, by the name of its picture: its path, and a text that it shows when ready."""
        job = f"/console/jobs/{self.failed}"
        return {
            "now": ("/console/", "gpu-1"),
            "jobs": ("/console/jobs", "render the film"),
            "job": (job, "compile"),
            "timeline": (f"{job}?tab=timeline", "compile"),
            "log": (f"{job}?tab=log", "expected 4096 bytes"),
            "run": ("/console/run", "Command"),
            "run-pipeline": (f"/console/run?pipeline={self.pipeline}", "broken"),
            "pipelines": ("/console/pipelines", "release"),
            "pipeline": (f"/console/pipelines/{self.pipeline}", "95 % within"),
            "schedules": ("/console/schedules", "nightly release"),
            "schedule": (f"/console/schedules/{self.schedule}", "Run now"),
            "queue": ("/console/queue", "None of"),
            "workers": ("/console/workers", "gpu-1"),
            "worker": (f"/console/workers/{self.worker}", "running"),
            "search": ("/console/search?q=release", "active"),
            "settings": ("/console/settings", "active"),
        }


@asynccontextmanager
async def example(client: Client, *, runs: int = 0, small: int = 0) -> AsyncIterator[Example]:
    """Fill a platform, with so many good runs of its pipeline beside one that failed, and so many small jobs; and take
    away afterwards what would go on."""
    for number in range(small):
        name = ("thumbnails", "invoices", "search index", "price list")[number % 4]
        await client.submit({"name": name, "command": f"sleep 0.{number % 5}", "labels": {"team": "shop"}})
    worker = await client.start_worker(
        {"name": "gpu-1", "type": "gpu", "labels": {"zone": "north", "gpu": "a100"}, "slots": 2}
    )
    pipeline = await client.create_pipeline(RELEASE)
    for start in range(0, runs, AT_ONCE):
        await asyncio.gather(*(_ran(client, pipeline.id) for _ in range(start, min(runs, start + AT_ONCE))))
    failed = await _ran(client, pipeline.id, broken="yes")
    schedules = [await client.schedule(fields) for fields in _schedules(pipeline.id)]
    await client.pause_schedule(schedules[1].id)
    await client.trigger_schedule(schedules[0].id)
    running = await client.submit(
        {"name": "train the model", "command": "while sleep 1; do echo epoch; done", "requires": {"type": "gpu"}}
    )
    waiting = [
        await client.submit(fields)
        for fields in (
            {"name": "render the film", "command": "./render", "requires": {"gpu": "h100"}, "priority": "high"},
            {"name": "index the archive", "command": "./index", "requires": {"zone": "south"}},
            {"name": "simulate", "command": "./simulate", "resources": {"cpu_m": 512_000, "memory_mb": 2_000_000}},
        )
    ]
    try:
        yield Example(pipeline.id, failed, schedules[0].id, worker.id)
    finally:
        for job in (running, *waiting):
            await client.cancel(job.id)
        for schedule in schedules:
            await client.delete_schedule(schedule.id)
        await client.stop_worker(worker.id, force=True)


def _schedules(pipeline: str) -> list[dict[str, object]]:
    nightly = {"cron": "30 2 * * mon-fri", "timezone": "Europe/Madrid", "overlap": "skip"}
    return [
        {"name": "nightly release", "pipeline_id": pipeline, **nightly},
        {"name": "warm the cache", "command": "curl -s https://shop.example/", "every": 900, "jitter": 60},
        {"name": "year's end report", "command": "./report --year", "run_at": "2100-01-01T00:00:00Z"},
    ]


async def _ran(client: Client, pipeline_id: str, **params: str) -> str:
    job = await client.submit({"pipeline_id": pipeline_id, "params": params, "labels": {"team": "shop"}})
    await client.wait(job.id, timeout=60)
    return job.id
