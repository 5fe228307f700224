"""`hodei up`, with stand-ins for the services: all of it starts, stays, and ends as one thing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from hodei.embedded.ports import free_port, is_taken
from tests.fixtures.processes import descendants, gone, with_open_files_under

ROOT = Path(__file__).parents[3]
PORTS = ("ORCHESTRATOR_PORT", "SCHEDULER_PORT", "WORKER_MANAGER_PORT")


@dataclass
class Up:
    """A running `hodei up`."""

    process: asyncio.subprocess.Process
    facts: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    async def ready(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith("READY "):
                    self.facts = json.loads(line.removeprefix("READY "))
                    return
                self.output += line
        raise AssertionError(f"not ready: {self.output} {(await self.end())[1]}")

    async def line(self, *, containing: str) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stdout.readline()).decode():
                if containing in line:
                    return line
        raise AssertionError(f"no line with {containing!r}")

    async def error_line(self, *, containing: str) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stderr.readline()).decode():
                if containing in line:
                    return line
        raise AssertionError(f"no line with {containing!r}")

    async def end(self) -> tuple[int | None, str]:
        async with asyncio.timeout(40):
            _, errors = await self.process.communicate()
        return self.process.returncode, errors.decode()


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    running: list[Up] = []

    async def begin(*arguments: str, **variables: str) -> Up:
        inherited = {name: value for name, value in os.environ.items() if name not in ("NATS_URL", "DATABASE_URL")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "fixtures" / "up_with_stand_ins.py"),
            str(tmp_path / "data"),
            *arguments,
            env={**inherited, "PYTHONPATH": str(ROOT), **dict.fromkeys(PORTS, "0"), **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(Up(process))
        return running[-1]

    yield begin
    for one in running:
        if one.process.returncode is None:
            one.process.kill()
            await one.end()
    assert await asyncio.to_thread(nothing_left, tmp_path)


def nothing_left(folder: Path) -> bool:
    """Every process of the folder is over, or ends within the deadline."""
    return all(asyncio.run(gone(pid)) for pid in with_open_files_under(folder))


async def health(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as answer:
        found = await answer.json(content_type=None)
        assert isinstance(found, dict)
        return found


@pytest.mark.parametrize(
    "numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]], ids=["INT", "TERM", "both at once"]
)
async def test_a_signal_ends_everything_in_order(start: Start, tmp_path: Path, numbers: list[signal.Signals]) -> None:
    up = await start(
        HODEI_WORKER_NAME="me",
        HODEI_WORKER_TYPE="big",
        HODEI_WORKER_SLOTS="5",
        HODEI_WORKER_LABELS="zone=north",
        HODEI_WORKER_CAPACITY="gpu=1",
    )
    await up.ready()
    children = descendants(up.pid)
    assert len(children) > 5

    for number in numbers:
        up.process.send_signal(number)

    async with asyncio.timeout(40):
        out, errors = await up.process.communicate()
    assert (up.process.returncode, errors) == (0, b"")
    assert out.decode().splitlines()[-2:] == [
        "hodei: stopping; a second Ctrl-C ends everything at once", "hodei: stopped",
    ]  # fmt: skip
    for pid in children:
        assert await gone(pid, within=20)
    log = (tmp_path / "data" / "logs" / "worker_manager.log").read_text()
    assert log == (
        'started worker {"name": "me", "type": "big", "slots": 5, '
        '"labels": {"zone": "north"}, "capacity": {"gpu": 1}}\n'
        "stopped worker /api/v1/workers/0?force=true\nstopped\n"
    )


async def test_one_table_says_where_everything_is(start: Start, tmp_path: Path) -> None:
    up = await start()
    await up.ready()
    for expected in (
        *up.facts["urls"].values(),
        up.facts["nats"],
        "swagger-ui",
        "metrics",
        str(tmp_path / "data"),
        "/console/",
    ):
        assert expected in up.output
    password = (tmp_path / "data" / "postgres" / "password").read_text().strip()
    assert password not in up.output


async def test_death_by_kill_leaves_nothing_and_the_next_start_follows_at_once(start: Start) -> None:
    ports = {name: str(free_port()) for name in PORTS}
    up = await start(**ports)
    await up.ready()
    children = descendants(up.pid)
    up.process.kill()
    await up.process.wait()

    again = await start(**ports)
    await again.ready()

    for pid in children:
        assert await gone(pid)


async def test_a_taken_port_is_named_in_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        up = await start(SCHEDULER_PORT=str(port))
        assert await up.end() == (1, f"hodei: port {port} is taken: set SCHEDULER_PORT to another one\n")


async def test_a_chosen_server_port_that_is_taken_is_named_too(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        up = await start(NATS_PORT=str(port))
        assert await up.end() == (1, f"hodei: port {port} is taken: set NATS_PORT to another one\n")


async def test_a_bad_port_is_named_in_one_line(start: Start) -> None:
    up = await start(SCHEDULER_PORT="many")
    assert await up.end() == (2, "hodei: SCHEDULER_PORT='many': should be a number from 0 to 65535\n")


async def test_every_wrong_setting_of_a_service_or_worker_is_named_before_anything_starts(
    start: Start, tmp_path: Path
) -> None:
    up = await start(HODEI_FOO="1", HODEI_HEARTBEAT_SECONDS="x", HODEI_BODY_LIMIT="0", NATS_URL="http://a:hidden@b")
    code, line = await up.end()
    assert code == 2
    assert line.count("\n") == 1
    for part in ("hodei: HODEI_FOO", "HODEI_HEARTBEAT_SECONDS='x'", "HODEI_BODY_LIMIT='0'", "NATS_URL"):
        assert line.count(part) == 1
    assert "hidden" not in line
    assert not (tmp_path / "data").exists()


async def test_what_only_one_process_knows_is_unknown_to_none(start: Start) -> None:
    up = await start(HODEI_SPOOL_LIMIT="2000000", HODEI_WORKER_TTL="60", HODEI_STATE_DIR="", HODEI_DATA_DIR="")
    await up.ready()


async def test_a_second_one_on_the_same_data_is_told_in_one_line(start: Start, tmp_path: Path) -> None:
    await (await start()).ready()
    second = await start()
    code, errors = await second.end()
    assert code == 1
    assert errors == f"hodei: another `hodei up` uses {tmp_path / 'data'}: stop it, or choose another --data-dir\n"


async def test_a_service_that_cannot_start_is_shown_with_its_last_lines(start: Start) -> None:
    up = await start(STAND_IN_SCHEDULER="dies")
    assert await up.end() == (
        1,
        "hodei: the scheduler ended with exit code 3:\n  first line\n  the reason why\n",
    )


async def test_a_worker_that_does_not_start_is_told_of_in_words_with_its_log(start: Start, tmp_path: Path) -> None:
    up = await start(STAND_IN_WORKER_MANAGER="refuses")
    log = tmp_path / "data" / "workers" / "0" / "agent.log"
    assert await up.end() == (1, f"hodei: the worker did not start: no heartbeat from it in 15 s (see {log})\n")


async def test_what_is_reached_is_told_at_once(start: Start) -> None:
    up = await start(STAND_IN_SCHEDULER="sick")
    for part in (
        "starting PostgreSQL and NATS, with the data in ",
        "PostgreSQL is ready on port ",
        "starting the orchestrator, the scheduler and the worker manager",
        "the orchestrator is ready at http://127.0.0.1:",
    ):  # it waits for the scheduler meanwhile
        await up.line(containing=part)
    up.process.send_signal(signal.SIGTERM)
    assert (await up.end())[0] == 0


async def test_a_restart_takes_the_same_ports_again(start: Start) -> None:
    found = []
    with socket.create_server(("127.0.0.1", 4222)) if not is_taken(4222) else nullcontext():  # so that one is chosen
        up = await start()
        await up.ready()
        found.append((up.facts["nats"], up.facts["urls"], up.output))
        up.process.send_signal(signal.SIGTERM)
        assert await up.end() == (0, "")
    up = await start()
    await up.ready()
    found.append((up.facts["nats"], up.facts["urls"], up.output))
    (nats, urls, table), (nats_again, urls_again, table_again) = found
    assert (nats_again, urls_again) == (nats, urls)
    (monitoring,) = re.findall(r"http://127.0.0.1:\d+ \(monitoring\)", table)
    assert monitoring in table_again


async def test_a_port_of_nats_that_another_process_has_taken_meanwhile_is_given_up_with_a_word(
    start: Start, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "ports.json").write_text(json.dumps({"nats": port, "nats_monitoring": port}))
        up = await start()
        await up.ready()
        line = await up.error_line(containing=f"port {port} is taken")
        now = up.facts["nats"].rpartition(":")[2]
        assert now != str(port)
        assert f"NATS listens on port {now} now" in line
    up.process.send_signal(signal.SIGTERM)
    assert (await up.end())[0] == 0
    again = await start()
    await again.ready()
    assert again.facts["nats"].rpartition(":")[2] == now


async def test_a_service_that_dies_later_is_started_again(start: Start) -> None:
    up = await start()
    await up.ready()
    url = up.facts["urls"]["scheduler"]
    before = await health(url)
    os.kill(before["pid"], signal.SIGKILL)
    assert "restarting it" in await up.error_line(containing="the scheduler was ended by SIGKILL (9)")
    async with asyncio.timeout(10):
        while True:
            try:
                after = await health(url)
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
    assert after["pid"] != before["pid"]


async def test_a_server_that_dies_is_started_again_in_place(start: Start) -> None:
    up = await start()
    await up.ready()
    os.kill(up.facts["servers"][0], signal.SIGKILL)
    await up.error_line(containing="NATS was ended by SIGKILL (9), restarting it")
    host, _, port = up.facts["nats"].removeprefix("nats://").partition(":")
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
                break
            except ConnectionError:
                await asyncio.sleep(0.02)
    writer.close()
    await writer.wait_closed()


async def test_a_database_that_is_told_to_end_while_it_has_clients_is_started_again(start: Start) -> None:
    up = await start()
    await up.ready()
    address = up.facts["database"]
    client = await asyncpg.connect(address)
    try:
        os.kill(up.facts["servers"][1], signal.SIGTERM)
        await up.error_line(containing="PostgreSQL is shutting down and waits for its clients")
        await up.error_line(containing="PostgreSQL ended with exit code 0, restarting it")
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await asyncpg.connect(address)).close()
                    break
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.02)
    finally:
        client.terminate()


async def worker(up: Up, number: int = 0) -> dict[str, Any]:
    """The worker of this number, once there is one that runs."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:  # the stand-in tells nobody when it has started one
            async with session.get(f"{up.facts['urls']['worker_manager']}/api/v1/workers") as answer:
                found: list[dict[str, Any]] = await answer.json()
            if len(found) > number and found[number]["status"] == "running":
                return found[number]
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_dies_is_replaced_each_time(start: Start, number: signal.Signals) -> None:
    up = await start()
    await up.ready()
    for n in range(2):
        os.kill((await worker(up, n))["pid"], number)
        line = await up.error_line(containing=f"the worker worker {n} ended (exit code -{number})")
        assert "starting another one in" in line
    await worker(up, 2)


async def test_a_worker_that_dies_with_the_worker_manager_is_replaced_as_well(start: Start) -> None:
    up = await start()
    await up.ready()
    manager = (await health(up.facts["urls"]["worker_manager"]))["pid"]
    pid = (await worker(up))["pid"]
    os.kill(manager, signal.SIGSTOP)  # so that it hears of the worker's end no more
    os.kill(pid, signal.SIGKILL)
    os.kill(manager, signal.SIGKILL)
    await up.error_line(containing="the worker worker 0 ended")
    await worker(up)


async def test_a_worker_that_somebody_stops_stays_stopped(start: Start) -> None:
    up = await start()
    await up.ready()
    async with (
        aiohttp.ClientSession() as session,
        session.delete(f"{up.facts['urls']['worker_manager']}/api/v1/workers/0?force=true"),
    ):
        await up.error_line(containing="the worker worker 0 was stopped over REST, so it is not replaced")


async def test_servers_of_the_user_are_used(start: Start, nats_url: str, database_url: str) -> None:
    up = await start(NATS_URL=nats_url, DATABASE_URL=database_url)
    await up.ready()
    assert up.facts["servers"] == []
    assert (await health(up.facts["urls"]["orchestrator"]))["database"] == database_url


async def test_verbose_shows_the_logs_here_as_well(start: Start, tmp_path: Path) -> None:
    up = await start("--verbose")
    await up.ready()
    assert "slots" in await up.error_line(containing="started worker")
    assert "started worker" in (tmp_path / "data" / "logs" / "worker_manager.log").read_text()
