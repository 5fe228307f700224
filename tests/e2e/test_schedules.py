"""Schedules that recur, through all services: each due time makes one job, and the history says what came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import psutil

from hodei.client import Client
from schemas.states import JobStatus
from tests.e2e.framework.data import unique
from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import Platform, free_ports
from tests.e2e.framework.waiting import eventually, healthy
from tests.e2e.test_command_line import hodei

Http = Callable[[str], RawHttp]
SECOND = timedelta(seconds=1)
GATE = {"name": "gate", "type": "approval"}
"""A step that ends when it is approved, so that the test says how long a job lasts."""


@dataclass
class Scheduled:
    """A schedule, and what is asked of the scheduler about it."""

    id: str
    http: RawHttp

    async def call(self, method: str, path: str = "", json: object = None) -> Any:
        answer = await self.http(method, f"/api/v1/scheduled/{self.id}{path}", json=json)
        assert answer.status < 300, answer.body
        return answer.json() if answer.body else None

    async def history(self) -> list[dict[str, Any]]:
        """Its firings, the first one first."""
        found: list[dict[str, Any]] = await self.call("GET", "/history")
        return found[::-1]

    async def until(self, count: int, **fields: object) -> list[dict[str, Any]]:
        """Its firings with these fields, once there are so many of them."""

        async def ask() -> list[dict[str, Any]] | None:
            found = [one for one in await self.history() if fields.items() <= one.items()]
            return found if len(found) >= count else None

        return await eventually(ask, within=40)

    async def settled(self) -> list[dict[str, Any]]:
        """All its firings, once none of them is under way."""

        async def ask() -> list[dict[str, Any]] | None:
            found = await self.history()
            return None if {one["outcome"] for one in found} & {"fired", "waiting"} else found

        return await eventually(ask, within=40)


@asynccontextmanager
async def schedule(http: Http, **fields: object) -> AsyncIterator[Scheduled]:
    """A schedule, removed at the end."""
    answer = await http("scheduler")("POST", "/api/v1/schedule", json={"name": unique("schedule"), **fields})
    assert answer.status == 201, answer.body
    made: Any = answer.json()
    one = Scheduled(made["id"], http("scheduler"))
    try:
        yield one
    finally:
        await one.call("DELETE")


def due(firing: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(firing["due_at"])


def without_gaps(firings: list[dict[str, Any]]) -> bool:
    """Whether their due times follow each other, a second apart."""
    times = [due(one) for one in firings]
    return times == [times[0] + n * SECOND for n in range(len(times))]


async def jobs_of(client: Client, one: Scheduled) -> dict[str, JobStatus]:
    return {job.id: job.status async for job in client.jobs(schedule_id=one.id)}


async def others(client: Client, one: Scheduled, job_id: str) -> list[str] | None:
    """The schedule's other jobs, if there are any."""
    return [id for id in await jobs_of(client, one) if id != job_id] or None


async def gated(client: Client) -> str:
    """A pipeline whose jobs last until they are approved."""
    return (await client.create_pipeline({"name": unique("gated"), "steps": [GATE]})).id


async def approve(client: Client, job_id: str) -> None:
    [task] = (await client.job(job_id)).tasks
    await client.approve(task.id)


async def test_each_due_time_makes_one_job_and_the_history_has_its_outcome(client: Client, http: Http) -> None:
    async with schedule(http, command="true", every=1) as one:
        await one.until(3, outcome="succeeded")
        await one.call("PATCH", json={"command": "exit 7"})
        await one.until(1, outcome="failed", reason="exit_code")
        await one.call("POST", "/pause")
        firings = await one.settled()
        assert without_gaps(firings)
        assert {one["kind"] for one in firings} == {"time"}
        assert {one["job_id"]: one["outcome"] for one in firings} == {
            id: status.value for id, status in (await jobs_of(client, one)).items()
        }
        shown = await one.call("GET")
        assert (shown["status"], shown["next_run_at"], shown["missed"]) == ("paused", None, 0)
        assert shown["last_job_id"] == firings[-1]["job_id"]


async def test_a_paused_schedule_fires_on_request_alone_and_goes_on_from_now_when_it_is_resumed(
    client: Client, http: Http
) -> None:
    async with schedule(http, command="true", every=1, paused=True) as one:
        await one.call("POST", "/trigger")
        [triggered] = await one.until(1, outcome="succeeded")
        assert triggered["kind"] == "trigger"
        following = await one.call("GET", "/next?count=3")
        assert len(following) == 3
        resumed_at = datetime.now(UTC)
        await one.call("POST", "/resume")
        await one.until(2, outcome="succeeded", kind="time")
        await one.call("PATCH", json={"every": 3600})
        firings = [firing for firing in await one.settled() if firing["kind"] == "time"]
        assert due(firings[0]) > resumed_at - SECOND
        assert without_gaps(firings)
        following_at = datetime.fromisoformat((await one.call("GET"))["next_run_at"])
        assert following_at > datetime.now(UTC)
        assert len(await jobs_of(client, one)) == len(firings) + 1


async def test_a_schedule_that_skips_makes_no_job_while_its_former_one_is_not_over(client: Client, http: Http) -> None:
    async with schedule(http, pipeline_id=await gated(client), every=1, overlap="skip") as one:
        skipped = await one.until(2, outcome="skipped")
        [first, *_] = await one.history()
        assert (first["outcome"], skipped[0]["reason"], skipped[0]["job_id"]) == ("fired", "overlap", None)
        assert first["job_id"] in skipped[0]["detail"]
        assert list(await jobs_of(client, one)) == [first["job_id"]]
        await approve(client, first["job_id"])
        [done] = await one.until(1, outcome="succeeded")
        assert done["job_id"] == first["job_id"]
        [again] = await eventually(lambda: others(client, one, first["job_id"]))
        await one.call("POST", "/pause")
        await approve(client, again)
        assert without_gaps(await one.settled())


async def test_a_schedule_that_queues_runs_one_job_after_the_other_and_explains_what_waits(
    platform: Platform, client: Client, http: Http
) -> None:
    async with schedule(http, pipeline_id=await gated(client), every=1, overlap="queue") as one:
        await one.until(3, outcome="fired")
        await one.call("POST", "/pause")
        first, second, *others = [firing["job_id"] for firing in await one.history()]
        waits = await client.job(second)
        assert (waits.status, waits.tasks[0].status.value) == (JobStatus.PENDING, "pending")
        assert waits.waiting_for == f"the former job of schedule {one.id}"
        code, out, _ = await hodei(platform, "explain", second)
        assert code == 0
        assert f"schedule {one.id} runs one job at a time, and job {first} (" in out
        assert "it is the next one" in out
        explained = await client.explain(waits.tasks[0].id)
        assert first in explained.summary
        for job_id in (first, second, *others):
            await eventually(lambda job_id=job_id: asks(client, job_id))  # type: ignore[misc]  # mypy: a default in a lambda
            running = [id for id, status in (await jobs_of(client, one)).items() if status is JobStatus.RUNNING]
            assert running == [job_id]
            await approve(client, job_id)
        assert {firing["outcome"] for firing in await one.settled()} == {"succeeded"}


async def asks(client: Client, job_id: str) -> bool | None:
    return (await client.job(job_id)).status is JobStatus.RUNNING or None


async def test_a_schedule_that_cancels_runs_its_newest_job_only(client: Client, http: Http) -> None:
    async with schedule(http, pipeline_id=await gated(client), every=1, overlap="cancel_previous") as one:
        cancelled = await one.until(2, outcome="cancelled")
        await one.call("POST", "/pause")
        assert {firing["reason"] for firing in cancelled} == {"superseded"}
        [last] = await one.until(1, outcome="fired")
        await eventually(lambda: asks(client, last["job_id"]))
        await approve(client, last["job_id"])
        firings = await one.settled()
        assert without_gaps(firings)
        assert [firing["outcome"] for firing in firings] == ["cancelled"] * (len(firings) - 1) + ["succeeded"]


@dataclass
class Candidate:
    """A scheduler that leads or stands by."""

    url: str
    process: asyncio.subprocess.Process


@asynccontextmanager
async def another_scheduler(platform: Platform) -> AsyncIterator[Candidate]:
    """One more scheduler of the platform, ready."""
    [pid, *_] = await eventually(lambda: _pids(platform))
    [port] = free_ports(1)
    environment = {**psutil.Process(pid).environ(), "SCHEDULER_PORT": str(port)}
    del environment["HODEI_LIFELINE_FD"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _leads(session, url), within=60)
        yield Candidate(url, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _pids(platform: Platform) -> list[int] | None:
    return platform.pids("scheduler") or None


async def _leads(session: aiohttp.ClientSession, url: str) -> float | None:
    """Whether (1 or 0) the scheduler at an address leads; None if it does not answer."""
    try:
        async with session.get(f"{url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
    except aiohttp.ClientError:
        return None
    found = [line for line in lines if line.startswith('hodei_leader{role="scheduler"}')]
    return float(found[0].split()[-1]) if found else None


async def test_each_due_time_makes_one_job_though_leaders_are_killed_around_it(
    own_platform: Platform, client: Client, http: Http
) -> None:
    """Three scheduler processes; the one that leads is killed just before a due time, at it, just after it, and between
    two of them."""
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as session:
        others = [await stack.enter_async_context(another_scheduler(own_platform)) for _ in range(2)]

        async def leader() -> int | None:
            if await _leads(session, own_platform.urls["scheduler"]):
                return own_platform.pids("scheduler")[0]
            found = [other.process.pid for other in others if await _leads(session, other.url)]
            return found[0] if found else None

        async with schedule(http, command="true", every=1) as one:
            for offset in (-0.03, 0.0, 0.03, 0.5):
                count = len(await one.until(1, outcome="succeeded"))
                pid = await eventually(leader)
                following = due((await one.history())[-1]) + 2 * SECOND
                await asyncio.sleep(max(0.0, (following - datetime.now(UTC)).total_seconds() + offset))  # a due time
                os.kill(pid, signal.SIGKILL)
                for other in [other for other in others if other.process.pid == pid]:
                    await other.process.wait()
                    others.remove(other)
                    others.append(await stack.enter_async_context(another_scheduler(own_platform)))
                one.http = RawHttp(others[0].url, own_platform.checks["scheduler"], session)
                await one.until(count + 3, outcome="succeeded")
            await one.call("POST", "/pause")
            firings = await one.settled()
            assert without_gaps(firings)
            assert {firing["outcome"] for firing in firings} == {"succeeded"}
            jobs = [job.id async for job in client.jobs(schedule_id=one.id)]
            assert sorted(jobs) == sorted(firing["job_id"] for firing in firings)
    await healthy(client)  # the scheduler of the platform may have been killed last
