"""The production shape: closed without keys; a cluster, replicas, a proxy; and one of each may die."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.states import JobStatus
from tests.containers.stack import Stack, docker, eventually, wait_for_targets

SERVICES = ("orchestrator", "scheduler", "worker-manager")
PORTS = (8080, 8081, 8082)
NODES = ("nats-1", "nats-2", "nats-3")


async def test_requests_need_tls_and_a_token(production: Stack, keys: Path, administrator: Client) -> None:
    trusted = ssl.create_default_context(cafile=keys / "tls/ca.crt")
    token = (keys / "tokens/admin").read_text().strip()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
        for port in PORTS:
            url = f"https://localhost:{port}"
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{url}/health")
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://localhost:{port}/health")
            for path in ("/api/v1/whoami", "/metrics", "/openapi.json"):
                for headers in ({}, {"Authorization": f"Bearer {token[:-1]}x"}):
                    async with session.get(f"{url}{path}", ssl=trusted, headers=headers) as answer:
                        assert answer.status == 401, path
                        assert answer.content_type == "application/problem+json"
                        await answer.read()
                async with session.get(
                    f"{url}{path}", ssl=trusted, headers={"Authorization": f"Bearer {token}"}
                ) as answer:
                    assert answer.status == 200, path
                    await answer.read()
            async with session.get(f"{url}/health", ssl=trusted) as answer:
                assert (await answer.json())["access"] == "on"


async def test_a_client_cannot_choose_the_address_of_its_calls(
    production: Stack, keys: Path, administrator: Client
) -> None:
    trusted = ssl.create_default_context(cafile=keys / "tls/ca.crt")
    forged = {"X-Forwarded-For": "198.51.100.7, 10.1.2.3", "Authorization": "Bearer hodei_wrong"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
        async with session.get("https://localhost:8080/api/v1/jobs", ssl=trusted, headers=forged) as answer:
            assert answer.status == 401
            await answer.read()
        job = await administrator.submit(JobCreate(command="true"))
        admin = {"Authorization": f"Bearer {(keys / 'tokens/admin').read_text().strip()}"}
        url = f"https://localhost:8080/api/v1/audit?entity_id={job.id}"
        async with session.get(url, ssl=trusted, headers=admin) as answer:
            [entry] = await answer.json()
        for address in ("198.51.100.7", "10.1.2.3"):
            url = f"https://localhost:8080/api/v1/audit?address={address}"
            async with session.get(url, ssl=trusted, headers=admin) as answer:
                assert await answer.json() == []
    assert entry["address"] not in (None, "10.213.77.10"), "it is the client's address, not the proxy's"


def test_nats_needs_tls_and_credentials_and_those_for_the_feed_only_read(production: Stack, keys: Path) -> None:
    """Asked from within the network: the production shape publishes no port of NATS."""
    (container,) = production.containers("worker-manager-1")
    script = (Path(__file__).parent / "knock.py").read_text()
    credentials = (keys / "nats/feed.creds").read_text()

    found = json.loads(docker("exec", "--env", f"CREDENTIALS={credentials}", container, "python", "-c", script))

    assert found == {
        "plain text": "refused",
        "another authority": "refused",
        "no credentials": "refused",
        "credentials for the feed": "subscribed to the feed",
        "publishing with them": "refused",
        "subscribing to all with them": "refused",
    }


def test_prometheus_reads_all_with_its_token(production: Stack) -> None:
    wait_for_targets({*SERVICES, "proxy", "nats", "postgres", "prometheus"})


async def test_workers_enrol_with_their_join_token_and_run_jobs(production: Stack, administrator: Client) -> None:
    workers = [worker async for worker in administrator.registered_workers() if worker.status == "online"]
    assert len(workers) >= 2
    job = await administrator.submit(JobCreate(command="id -u"))
    assert (await administrator.wait(job.id, timeout=60)).status is JobStatus.SUCCEEDED


def test_no_container_has_the_keys_of_another(production: Stack, keys: Path) -> None:
    """Nor the authority's key, nor the administrator's token."""
    admin = (keys / "tokens/admin").read_text().strip()
    for service in production.services():
        for container in production.containers(service):
            mounts = {m["Destination"]: m for m in production.inspect(container)["Mounts"]}
            assert "/for" not in mounts
            if "/keys" in mounts:
                assert mounts["/keys"]["Name"].startswith("hodei-test_"), service
                assert mounts["/keys"]["Name"].endswith("-keys"), f"{service} has the folder with all keys"
                assert not mounts["/keys"]["RW"], service
            environment = production.inspect(container)["Config"]["Env"]
            assert not any(admin in line for line in environment)


def test_renewed_certificates_are_served_without_a_restart(production: Stack, keys: Path) -> None:
    """By the commands of docs/operations.md. The services need no signal."""
    (container,) = production.containers("worker-manager-1")
    script = (Path(__file__).parent / "certificates.py").read_text()

    def presented() -> dict[str, str]:
        found: dict[str, str] = json.loads(docker("exec", container, "python", "-c", script))
        return found

    before = presented()
    files = [f"/keys/tls/{name}.crt" for name in ("worker-manager", "proxy", "nats", "postgres")]
    production.compose("run", "--rm", "--no-deps", "-T", "keys", "rm", *files)
    processes = {host: production.inspect(production.containers(host)[0])["State"]["Pid"] for host in before}

    production.compose("up", "-d", "--no-build", "--no-deps", "keys")
    (keys_container,) = production.containers("keys")
    eventually(
        lambda: production.inspect(keys_container)["State"]["Status"] == "exited" or None,
        within=60,
        what="the certificates are made",
    )
    for node in NODES:
        production.compose("exec", "-T", node, "sh", "-c", "kill -HUP 1")
    production.compose("exec", "-T", "postgres", "psql", "-U", "postgres", "-c", "select pg_reload_conf()")
    production.compose("exec", "-T", "proxy", "sh", "-c", "kill -USR2 1")

    def all_new() -> bool | None:
        now = presented()
        return all(now[host] != before[host] for host in before) or None

    eventually(all_new, within=60, what="every server presents its new certificate", why=lambda: str(presented()))
    after = {host: production.inspect(production.containers(host)[0])["State"]["Pid"] for host in before}
    assert after == processes


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


async def test_output_comes_through_the_proxy_while_the_job_runs(production: Stack, administrator: Client) -> None:
    job = await administrator.submit(JobCreate(command="echo first; sleep 600"))
    async with asyncio.timeout(30):
        async for line in administrator.follow_logs(job.id):
            assert line.message == "first"
            break
    assert (await administrator.job(job.id)).status is JobStatus.RUNNING
    await administrator.cancel(job.id)
    assert (await administrator.wait(job.id, timeout=30)).status is JobStatus.CANCELLED


async def test_nothing_is_lost_when_a_node_and_a_replica_of_each_service_die(
    production: Stack, administrator: Client
) -> None:
    taken: list[str] = []
    under_way, all_dead = asyncio.Event(), asyncio.Event()

    async def submit() -> None:
        """Until some were taken after the last death."""
        left = 20
        while left and len(taken) < 2000:
            job = await administrator.submit(JobCreate(command="true"), idempotency_key=f"job-{len(taken)}")
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
        assert (await administrator.wait(job, timeout=120)).status is JobStatus.SUCCEEDED
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
