"""The life of a real process: ready, signals, the lifeline, and how it says that it cannot start."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

PROGRAM = """
import asyncio, sys
from shared.service import lifecycle, settings
from shared.errors import Unavailable
from shared.process.secrecy import is_hidden

class Settings(settings.ServiceSettings):
    service = "trial"

class Part:
    def __init__(self, name):
        self.name = name

    async def start(self):
        print("starting", self.name, flush=True)
        if self.name == "endless":
            await asyncio.Event().wait()
        if self.name == "broken":
            raise Unavailable("database at 127.0.0.1:1")
        if self.name == "port":
            self.server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", int(sys.argv[-1]))
        if self.name == "hidden":
            print("hidden", is_hidden(), flush=True)
        if self.name == "last":
            print("ready", flush=True)

    async def stop(self):
        print("stopping", self.name, flush=True)
        if self.name == "stuck":
            await asyncio.Event().wait()
        if self.name == "faulty":
            raise RuntimeError("never mind")

lifecycle.main(Settings, lambda loaded: [Part(name) for name in sys.argv[1].split(",")])
"""


@asynccontextmanager
async def trial(
    parts: str, *arguments: str, pass_fds: tuple[int, ...] = (), **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the parts named; killed at the end if it still lives."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HODEI_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, parts, *arguments),
        cwd=ROOT,
        env={**environment, "HODEI_LOG_FORMAT": "json", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or its pipes are collected too late


async def until(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdout is not None
    while (said := await process.stdout.readline()) != f"{line}\n".encode():
        assert said, f"the process ended without saying {line!r}"


async def outcome(process: asyncio.subprocess.Process) -> tuple[int | None, list[str], str]:
    out, err = await process.communicate()
    return process.returncode, out.decode().splitlines(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_parts_in_reverse_order(number: signal.Signals) -> None:
    async with trial("first,last") as process:
        await until(process, "ready")
        process.send_signal(number)
        code, out, _ = await outcome(process)
    assert (code, out) == (0, ["stopping last", "stopping first"])


async def test_other_processes_of_its_user_cannot_read_a_service() -> None:
    async with trial("hidden,last") as process:
        await until(process, "hidden True")


async def test_a_signal_during_the_start_stops_what_had_started() -> None:
    async with trial("first,endless,last") as process:
        await until(process, "starting endless")
        process.terminate()
        code, out, _ = await outcome(process)
    assert (code, out) == (0, ["stopping first"])


async def test_a_part_that_fails_to_stop_does_not_keep_the_others() -> None:
    async with trial("first,faulty,last") as process:
        await until(process, "ready")
        process.terminate()
        code, out, err = await outcome(process)
    assert (code, out) == (0, ["stopping last", "stopping faulty", "stopping first"])
    assert "never mind" in err


async def test_a_stop_that_takes_too_long_ends_at_its_deadline_with_one_line() -> None:
    async with trial("first,stuck,last", HODEI_STOP_DEADLINE="0.2") as process:
        await until(process, "ready")
        process.terminate()
        code, out, err = await outcome(process)
    assert code == 1
    assert out == ["stopping last", "stopping stuck", "stopping first"]  # the late one keeps nobody
    assert err.splitlines()[-1] == "trial: stuck did not stop within 0.2 s"


async def test_a_second_signal_forces() -> None:
    async with trial("stuck,last", HODEI_STOP_DEADLINE="60") as process:
        await until(process, "ready")
        process.terminate()
        await until(process, "stopping stuck")
        process.terminate()
        code, _, _ = await outcome(process)
    assert code == 1


async def test_the_lifelines_end_is_a_stop() -> None:
    read, write = os.pipe()
    try:
        async with trial("first,last", pass_fds=(read,), HODEI_LIFELINE_FD=str(read)) as process:
            await until(process, "ready")
            os.close(write)
            code, out, _ = await outcome(process)
    finally:
        os.close(read)
    assert (code, out) == (0, ["stopping last", "stopping first"])


async def test_the_lifelines_end_is_the_end_even_of_a_stop_that_hangs() -> None:
    read, write = os.pipe()
    try:
        variables = {"HODEI_LIFELINE_FD": str(read), "HODEI_STOP_DEADLINE": "0.2"}
        async with trial("stuck,last", pass_fds=(read,), **variables) as process:
            await until(process, "ready")
            os.close(write)
            code, _, _ = await outcome(process)
    finally:
        os.close(read)
    assert code == 1


async def test_what_cannot_be_reached_is_one_line_and_exit_code_1() -> None:
    async with trial("first,broken") as process:
        code, out, err = await outcome(process)
    assert (code, out[-1]) == (1, "stopping first")
    assert err == "trial: database at 127.0.0.1:1 is not available\n"


async def test_a_bad_setting_is_one_line_and_exit_code_2() -> None:
    async with trial("first", HODEI_LINGER_MS="soon") as process:
        code, out, err = await outcome(process)
    assert (code, out) == (2, [])
    assert err.startswith("trial: HODEI_LINGER_MS='soon': should be a whole number from 0 to 1000")
    assert len(err.splitlines()) == 1


async def test_a_taken_port_is_one_line_that_names_it() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, trial("first,port", str(port)) as process:
        code, _, err = await outcome(process)
    assert code == 1
    assert str(port) in err
    assert len(err.splitlines()) == 1
