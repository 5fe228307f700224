"""The production shape: a cluster, replicas, a proxy; and one of each may die."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.states import JobStatus
from tests.containers.stack import Stack, docker, eventually

NODES = ("nats-1", "nats-2", "nats-3")


def test_three_servers_keep_every_stream_three_times(production: Stack) -> None:
    def settled() -> list[dict[str, Any]] | None:
        streams = _streams(production)
        current = all(
            len(stream["cluster"].get("replicas", ())) == 2
            and all(replica["current"] for replica in stream["cluster"]["replicas"])
            for stream in streams
        )
        return streams if current and len(streams) >= 3 else None

    streams = eventually(settled, within=60, what="every stream has two current followers")

    assert {stream["config"]["num_replicas"] for stream in streams} == {3}


async def test_output_comes_through_the_proxy_while_the_job_runs(production: Stack, client: Client) -> None:
    job = await client.submit(JobCreate(command="echo first; sleep 600"))
    async with asyncio.timeout(30):
        async for line in client.follow_logs(job.id):
            assert line.message == "first"
            break
    assert (await client.job(job.id)).status is JobStatus.RUNNING
    await client.cancel(job.id)
    assert (await client.wait(job.id, timeout=30)).status is JobStatus.CANCELLED


async def test_nothing_is_lost_when_a_node_and_a_replica_of_each_service_die(production: Stack, client: Client) -> None:
    taken: list[str] = []
    under_way, all_dead = asyncio.Event(), asyncio.Event()

    async def submit() -> None:
        """Until some were taken after the last death."""
        left = 20
        while left and len(taken) < 2000:
            job = await client.submit(JobCreate(command="true"), idempotency_key=f"job-{len(taken)}")
            taken.append(job.id)
            left -= all_dead.is_set()
            if len(taken) == 10:
                under_way.set()

    victims = [
        (await asyncio.to_thread(production.containers, service))[0]
        for service in ("nats-2", "orchestrator", "scheduler", "worker-manager-1")
    ]
    submitting = asyncio.create_task(submit())
    async with asyncio.timeout(30):
        await under_way.wait()
    for victim in victims:
        await asyncio.to_thread(production.kill, victim)
    before = len(taken)
    assert not submitting.done()
    all_dead.set()
    async with asyncio.timeout(120):
        await submitting

    assert len(set(taken)) == len(taken) >= before + 20
    for job in taken:
        assert (await client.wait(job, timeout=120)).status is JobStatus.SUCCEEDED
    for victim in victims:
        await asyncio.to_thread(production.wait_for_restart, victim, 1)
    await asyncio.to_thread(production.wait_until, production.services(), "healthy", within=90)


def _streams(stack: Stack) -> list[dict[str, Any]]:
    """As the leaders tell it: followers do not know of each other."""
    found: dict[str, dict[str, Any]] = {}
    for node in NODES:
        (container,) = stack.containers(node)
        told = json.loads(
            docker("exec", container, "wget", "-q", "-O", "-",
                   "http://127.0.0.1:8222/jsz?streams=true&config=true&leader_only=false")
        )  # fmt: skip
        for account in told.get("account_details", ()):
            for stream in account.get("stream_detail", ()):
                if stream["cluster"].get("leader") == node:
                    found[stream["name"]] = stream
    return list(found.values())
