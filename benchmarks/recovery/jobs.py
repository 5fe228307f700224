"""Jobs that count their own runs, and requests about them over plain HTTP that are retried during a fault.

Each command writes a line to a file when it begins, so that the real runs are known independently of the platform.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

OVER: Final = frozenset({"succeeded", "failed", "cancelled"})
ASK_AGAIN: Final = 0.05
ANSWER: Final = aiohttp.ClientTimeout(total=5)


@dataclass
class Job:
    """One job. Times are of this process's monotonic clock; None means not yet."""

    seconds: float
    asked: float
    id: str = ""
    accepted: float | None = None
    ended: float | None = None
    status: str = ""


@dataclass
class Jobs:
    """The jobs of one trial on the orchestrator at `url`; `runs` is the file to which they write."""

    session: aiohttp.ClientSession
    url: str
    runs: Path
    all: list[Job] = field(default_factory=list)

    async def submit(self, seconds: float = 0.0) -> Job:
        """Submit a job that runs `seconds`. The request is repeated with one idempotency key until it is accepted."""
        job = Job(seconds, time.monotonic())
        self.all.append(job)
        line = f'echo "$HODEI_JOB_ID" >> {self.runs}'
        body = {"command": f"{line}; sleep {seconds}" if seconds else line, "name": "recovery"}
        key = uuid.uuid4().hex
        while True:
            answer = await self._ask("POST", "/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
            if answer is not None:
                job.id, job.accepted = answer["id"], time.monotonic()
                return job
            await asyncio.sleep(ASK_AGAIN)

    async def begun(self, count: int) -> None:
        """Wait until `count` runs have begun."""
        while self.count().total() < count:  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(ASK_AGAIN)

    def waiting(self) -> int:
        """The number of accepted jobs that have not begun to run."""
        return sum(job.accepted is not None for job in self.all) - len(self.count())

    async def end_of(self, job: Job) -> None:
        """Wait until the API shows that the job is over."""
        while job.ended is None:
            answer = await self._ask("GET", f"/api/v1/jobs/{job.id}/status?wait=2")
            if answer is not None and answer["status"] in OVER:
                job.status, job.ended = answer["status"], time.monotonic()
            elif answer is None:
                await asyncio.sleep(ASK_AGAIN)

    async def all_over(self, deadline: float) -> None:
        """Wait until every accepted job is over, for at most `deadline` seconds."""
        until = time.monotonic() + deadline
        while (left := [job for job in self.all if job.id and job.ended is None]) and time.monotonic() < until:
            found: dict[str, str] = {}
            for status in OVER:
                page = await self._ask("GET", f"/api/v1/jobs?limit=1000&status={status}")
                found |= {one["id"]: status for one in page or ()}
            now = time.monotonic()
            for job in left:
                if job.id in found:
                    job.status, job.ended = found[job.id], now
            await asyncio.sleep(ASK_AGAIN)

    def count(self) -> Counter[str]:
        """How often the command of each job began to run, by job id."""
        return Counter(self.runs.read_text().split()) if self.runs.exists() else Counter()

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        """The response's body; None if the request must be repeated."""
        try:
            async with self.session.request(method, self.url + path, timeout=ANSWER, **options) as answer:
                body = await answer.json(content_type=None)
                if answer.status < 300:
                    return body
                if answer.status < 500 and answer.status not in (408, 409, 429):
                    raise RuntimeError(f"{method} {path}: {answer.status} {body}")
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # the effect of a fault; the caller repeats the request
        return None


async def healthy(session: aiohttp.ClientSession, urls: Mapping[str, str], *, deadline: float) -> None:
    """Wait until all services are healthy. Raises TimeoutError."""
    async with asyncio.timeout(deadline):
        for url in urls.values():
            while not await _is_healthy(session, url):  # noqa: ASYNC110  # another process: there is no event
                await asyncio.sleep(ASK_AGAIN)


async def _is_healthy(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health", timeout=ANSWER) as answer:
            return bool((await answer.json(content_type=None))["status"] == "healthy")
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return False
