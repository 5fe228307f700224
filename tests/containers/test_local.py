"""The local stack: it does what the platform does, notices what is broken, and loses nothing. In this order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from hodei.client import Client
from hodei.client.errors import ClientError
from schemas.rest.jobs import JobCreate
from schemas.states import JobStatus
from tests.containers.stack import ROOT, Stack, docker, eventually, wait_for_targets
from tests.e2e.framework.waiting import eventually as soon

SERVICES = ("orchestrator", "scheduler", "worker-manager")
AT_LEAST = 120
"""How many e2e tests need no platform of their own: were most of them skipped, the suite would prove nothing."""
WORKER_STATE = "/var/lib/hodei/worker"
PROBED = 60.0
"""Seconds in which a health check makes up its mind, on a slow machine too: three probes, five seconds and a deadline
apart."""


def test_the_whole_e2e_suite_passes_against_the_containers(
    local: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for most of the console's tests: its files are in the images, and ask for what the other tests ask for."""
    environment = {
        **os.environ,
        "TEST_ORCHESTRATOR_PORT": "8080",
        "TEST_SCHEDULER_PORT": "8081",
        "TEST_WORKER_MANAGER_PORT": "8082",
        "TEST_NATS_URL": "nats://127.0.0.1:4222",
        "TEST_KEYS": str(local.copy_keys(tmp_path / "keys")),
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/e2e", "-m", "not browser or smoke", "-q", "-rfEs",
         "-p", "no:cacheprovider"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-6000:]
    (passed,) = re.findall(r"\b(\d+) passed", done.stdout)
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE), ""]))
    assert int(passed) >= AT_LEAST, done.stdout[-6000:]


def test_prometheus_reaches_all_that_it_is_told_to(local: Stack) -> None:
    wait_for_targets({*SERVICES, "nats", "postgres"})


async def _hang_up(client: nats.NATS) -> None:
    """Close the socket of a client that was refused, which the client itself leaves open."""
    if client._transport is not None:  # it has no public way to it
        client._transport.close()
        await client._transport.wait_closed()


async def test_nats_asks_for_credentials_although_requests_need_no_token(
    local: Stack, client: Client, tmp_path: Path
) -> None:
    """A subscriber gets those for the feed as README.md says."""
    assert [health.access for health in (await client.health()).values()] == ["off"] * 3
    stranger = nats.NATS()
    with pytest.raises(nats.errors.Error):
        await stranger.connect("nats://127.0.0.1:4222", allow_reconnect=False, error_cb=_ignore)
    await _hang_up(stranger)
    (tmp_path / "feed.creds").write_text(local.key("nats/feed.creds"))

    connection = await nats.connect("nats://127.0.0.1:4222", user_credentials=str(tmp_path / "feed.creds"))
    await connection.subscribe("hodei.feed.>")
    await connection.flush()
    await connection.close()


async def test_three_workers_register_and_leave_again(local: Stack, client: Client) -> None:
    local.up("--scale", "worker=3")
    hosts = {local.inspect(container)["Config"]["Hostname"] for container in local.containers("worker")}

    async def all_online() -> bool | None:
        return hosts <= await _online(client) or None

    await soon(all_online, within=30)
    job = await client.submit(JobCreate(command="hostname"))
    assert (await client.wait(job.id, timeout=30)).status is JobStatus.SUCCEEDED

    local.up("--scale", "worker=1")

    async def one_left() -> bool | None:
        return len(hosts & await _online(client)) == 1 or None

    await soon(one_left, within=60)
    assert len(hosts) == 3


async def test_a_job_in_a_worker_container_reaches_nats_and_nothing_else(client: Client) -> None:
    job = await client.submit(
        JobCreate(command="getent hosts nats && ! getent hosts postgres && ! getent hosts orchestrator")
    )

    assert (await client.wait(job.id, timeout=60)).status is JobStatus.SUCCEEDED


async def test_a_killed_container_comes_back_and_its_work_is_done(local: Stack, client: Client) -> None:
    """Each service dies while a job runs and another one is submitted; neither is lost, and the first runs once."""
    for service in SERVICES:
        running = await client.submit(JobCreate(command="echo up; sleep 8; echo done"))
        async for _ in client.follow_logs(running.id):
            break
        (container,) = local.containers(service)
        before = local.inspect(container)["RestartCount"]

        local.kill(container)
        later = await _submit_patiently(client)

        local.wait_for_restart(container, before + 1)
        local.wait_until([service], "healthy", within=PROBED)
        done = await client.wait(running.id, timeout=60)
        assert done.status is JobStatus.SUCCEEDED, service
        assert len((await client.job(running.id)).tasks[0].executions) == 1, service
        assert (await client.wait(later, timeout=60)).status is JobStatus.SUCCEEDED, service


async def test_a_killed_worker_comes_back_as_itself_and_runs_the_job_again(local: Stack, client: Client) -> None:
    (container,) = local.containers("worker")
    job = await client.submit(JobCreate(command="echo up; sleep 5"))
    async for _ in client.follow_logs(job.id):
        break
    known = await _online(client)

    local.kill(container)

    local.wait_for_restart(container, 1)
    local.wait_until(["worker"], "healthy", within=PROBED)
    assert (await client.wait(job.id, timeout=90)).status is JobStatus.SUCCEEDED
    assert await _online(client) == known


async def test_a_replaced_worker_is_the_same_one_and_reports_what_it_could_not(local: Stack, client: Client) -> None:
    """As an upgrade replaces it, while NATS is away."""
    (old,) = local.containers("worker")
    known = docker("exec", old, "cat", f"{WORKER_STATE}/worker-id")
    job = await client.submit(
        JobCreate(command=f"echo up; until [ -e {WORKER_STATE}/away ]; do sleep 0.2; done; echo down")
    )
    async for _ in client.follow_logs(job.id):
        break
    local.compose("stop", "nats")
    try:
        docker("exec", old, "touch", f"{WORKER_STATE}/away")
        unsent = eventually(lambda: _spool(old) or None, within=30, what="the worker keeps what it cannot send")

        local.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", "worker")

        (new,) = local.containers("worker")
        assert new != old
        assert unsent <= _spool(new)
        assert docker("exec", new, "cat", f"{WORKER_STATE}/worker-id") == known
    finally:
        local.compose("start", "nats")
    local.wait_until(local.services(), "healthy", within=PROBED)
    assert (await client.wait(job.id, timeout=60)).status is JobStatus.SUCCEEDED
    (execution,) = (await client.job(job.id)).tasks[0].executions
    assert (execution.attempt, execution.worker_id) == (1, known.strip()), "the job was not run again"
    eventually(lambda: not unsent & _spool(new) or None, within=30, what="all of it is sent")


def test_a_health_check_fails_when_its_own_process_hangs(local: Stack) -> None:
    services = local.services()
    try:
        for service in services:
            local.signal(service, signal.SIGSTOP)
        local.wait_until(services, "unhealthy", within=PROBED)
    finally:
        for service in services:
            local.signal(service, signal.SIGCONT)
    local.wait_until(services, "healthy", within=PROBED)


async def test_without_nats_the_services_take_work_and_the_worker_says_it_cannot(local: Stack, client: Client) -> None:
    local.compose("stop", "nats")
    try:
        local.wait_until(["worker"], "unhealthy", within=PROBED)
        assert {name: health.status for name, health in (await client.health()).items()} == dict.fromkeys(
            SERVICES, "degraded"
        )
        assert [local.health(service) for service in SERVICES] == [{"healthy"}] * 3
        job = await client.submit(JobCreate(command="echo kept"))
    finally:
        local.compose("start", "nats")
    local.wait_until(local.services(), "healthy", within=PROBED)
    assert (await client.wait(job.id, timeout=60)).status is JobStatus.SUCCEEDED


def test_without_postgres_the_services_are_unhealthy_and_recover(local: Stack) -> None:
    local.compose("stop", "postgres")
    try:
        local.wait_until([*SERVICES, "postgres-exporter"], "unhealthy", within=PROBED)
    finally:
        local.compose("start", "postgres")
    local.wait_until(local.services(), "healthy", within=PROBED)


async def test_the_data_outlive_down_and_up(local: Stack, client: Client) -> None:
    job = await client.submit(JobCreate(command="echo remembered"))
    await client.wait(job.id, timeout=30)

    local.compose("down")
    assert local.containers("postgres") == []
    local.up()

    assert (await client.job(job.id)).status is JobStatus.SUCCEEDED
    assert [line.message async for line in client.follow_logs(job.id)] == ["remembered"]
    again = await client.submit(JobCreate(command="true"))
    assert (await client.wait(again.id, timeout=30)).status is JobStatus.SUCCEEDED


async def test_a_dump_brings_everything_back(local: Stack, client: Client) -> None:
    """As docs/operations.md says to do it."""
    job = await client.submit(JobCreate(command="echo dumped"))
    await client.wait(job.id, timeout=30)
    (postgres,) = local.containers("postgres")
    docker("exec", postgres, "pg_dump", "-U", "postgres", "-Fc", "-f", "/tmp/hodei.dump", "hodei")
    await client.delete_job(job.id)
    local.compose("stop", *SERVICES, "postgres-exporter")

    docker("exec", postgres, "pg_restore", "-U", "postgres", "--clean", "--if-exists", "--create", "-d", "postgres",
           "/tmp/hodei.dump")  # fmt: skip
    local.compose("start", *SERVICES, "postgres-exporter")
    local.wait_until(SERVICES, "healthy", within=PROBED)

    assert (await client.job(job.id)).status is JobStatus.SUCCEEDED
    after = await client.submit(JobCreate(command="true"))
    assert (await client.wait(after.id, timeout=60)).status is JobStatus.SUCCEEDED


async def _ignore(error: Exception) -> None:
    """The exception tells it, too."""


def _spool(container: str) -> set[str]:
    return set(docker("exec", container, "find", f"{WORKER_STATE}/spool", "-name", "*.spool").split())


async def _online(client: Client) -> set[str]:
    return {worker.name async for worker in client.registered_workers() if worker.status == "online"}


async def _submit_patiently(client: Client) -> str:
    """A job's id, as soon as the orchestrator takes it."""

    async def ask() -> str | None:
        try:
            return (await client.submit(JobCreate(command="true"))).id
        except ClientError:
            return None

    return await soon(ask, within=60)


pytestmark = pytest.mark.usefixtures("local")
