"""What every provider keeps to, whatever it runs agents in. A new provider is one more parameter here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from schemas.specs import Capacity
from shared.ids import new_id
from tests.fixtures.processes import gone
from worker_manager.providers.base import Handle, Provider, StartFailed, WorkerSpec
from worker_manager.providers.process import ProcessProvider

DEADLINE = 15.0
SLEEP = ["/bin/sh", "-c", "exec sleep 300"]

Make = Callable[..., Provider]
StartAgent = Callable[[Provider], Awaitable[tuple[str, Handle]]]


class Pipe:
    """A named pipe through which a process says one word when it is ready."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pipe"
        os.mkfifo(self.path)

    async def word(self) -> str:
        return (await asyncio.wait_for(asyncio.to_thread(self.path.read_text), DEADLINE)).strip()


def _process(folder: Path, command: list[str]) -> Provider:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://secret",
        "HODEI_PORT_X": "1",
        "HODEI_OTLP_ENDPOINT": "http://collector:4318",
    }
    return ProcessProvider(
        nats_url="nats://127.0.0.1:1", namespace="t", folder=folder, environment=environment, command=command
    )


def _log_in(folder: Path) -> str:
    [log] = folder.glob("*/agent.log")
    return log.read_text()


@pytest.fixture(params=[_process], ids=["process"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a provider whose agent is the given command; each is as one that another run of the service made."""
    return lambda command=SLEEP: request.param(tmp_path, command)


@pytest.fixture
async def started(make: Make) -> AsyncIterator[StartAgent]:
    """Starts an agent that is ended with the test."""
    handles: list[tuple[Provider, Handle]] = []

    async def start(provider: Provider) -> tuple[str, Handle]:
        spec = WorkerSpec(
            worker_id=new_id(),
            name="w",
            type="rust",
            labels={"zone": "a=b c"},
            slots=3,
            capacity=Capacity(gpu=1),
        )
        handle = await provider.start(spec)
        handles.append((provider, handle))
        return spec.worker_id, handle

    yield start
    for provider, handle in handles:
        await provider.stop(handle, force=True)
        await asyncio.wait_for(provider.watch(handle), DEADLINE)


async def test_its_end_is_seen_with_its_exit_code(make: Make, started: StartAgent) -> None:
    provider = make(["/bin/sh", "-c", "exit 3"])
    _, handle = await started(provider)

    assert (await asyncio.wait_for(provider.watch(handle), DEADLINE)).code == 3


async def test_stop_asks_and_force_ends(make: Make, started: StartAgent) -> None:
    provider = make()
    _, asked = await started(provider)
    _, forced = await started(provider)

    await provider.stop(asked, force=False)
    await provider.stop(forced, force=True)

    assert (await asyncio.wait_for(provider.watch(asked), DEADLINE)).code == 128 + 15
    assert (await asyncio.wait_for(provider.watch(forced), DEADLINE)).code == 128 + 9


async def test_one_that_will_not_listen_is_ended_by_force(make: Make, started: StartAgent, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    provider = make(["/bin/sh", "-c", f"trap '' TERM; echo ready > {pipe.path}; while :; do sleep 300; done"])
    worker_id, handle = await started(provider)
    watching = asyncio.create_task(provider.watch(handle))
    assert await pipe.word() == "ready"

    await provider.stop(handle, force=False)
    assert not (await asyncio.wait([watching], timeout=0.2))[0]

    await provider.stop(handle, force=True)
    assert (await asyncio.wait_for(watching, DEADLINE)).code == 137
    await provider.reap(worker_id)  # its sleep


async def test_another_run_of_the_service_can_adopt_it(make: Make, started: StartAgent) -> None:
    _, handle = await started(make())
    later = make()

    assert await later.adopt(handle)
    watching = asyncio.create_task(later.watch(handle))
    await later.stop(handle, force=True)
    await asyncio.wait_for(watching, DEADLINE)
    assert not await later.adopt(handle)


async def test_a_watch_may_be_broken_off_and_begun_again(make: Make, started: StartAgent) -> None:
    provider = make()
    _, handle = await started(provider)
    first, second = (asyncio.create_task(provider.watch(handle)) for _ in range(2))
    await asyncio.wait([first], timeout=0.05)
    first.cancel()

    await provider.stop(handle, force=True)

    assert (await asyncio.wait_for(second, DEADLINE)).code in (137, None)
    assert (await asyncio.wait_for(provider.watch(handle), DEADLINE)).code is None  # nobody can see it any more


async def test_nothing_that_only_looks_like_it_is_touched(make: Make, started: StartAgent) -> None:
    provider = make()
    _, handle = await started(provider)
    for wrong in ({**handle, "started": int(handle["started"]) + 1}, {**handle, "boot": "another"}):
        assert not await provider.adopt(wrong)
        await provider.stop(wrong, force=True)
        assert (await asyncio.wait_for(provider.watch(wrong), DEADLINE)).code is None

    assert await provider.adopt(handle)


async def test_what_it_left_running_is_ended(make: Make, started: StartAgent, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    leave = f'HODEI_EXECUTION_ID=x setsid sh -c "echo \\$\\$ > {pipe.path}; exec sleep 300" &'
    provider = make(["/bin/sh", "-c", leave])
    worker_id, handle = await started(provider)
    child = int(await pipe.word())
    await asyncio.wait_for(provider.watch(handle), DEADLINE)

    assert await provider.reap(worker_id) == 1
    assert await gone(child)
    assert await provider.reap(worker_id) == 0


async def test_its_environment_says_who_it_is_and_no_secrets(make: Make, started: StartAgent, tmp_path: Path) -> None:
    provider = make(["/usr/bin/env"])
    worker_id, handle = await started(provider)
    await asyncio.wait_for(provider.watch(handle), DEADLINE)

    said = dict(line.split("=", 1) for line in _log_in(tmp_path).splitlines())
    assert (said["HODEI_WORKER_ID"], said["HODEI_WORKER_SLOTS"]) == (worker_id, "3")
    assert (said["HODEI_WORKER_TYPE"], said["HODEI_WORKER_LABELS"]) == ("rust", '{"zone":"a=b c"}')
    assert said["HODEI_WORKER_CAPACITY"] == "gpu=1"
    assert said["HODEI_OTLP_ENDPOINT"] == "http://collector:4318"
    assert "DATABASE_URL" not in said


async def test_it_lives_in_a_session_of_its_own(make: Make, started: StartAgent) -> None:
    provider = make()
    _, handle = await started(provider)

    pid = provider.pid(handle)

    assert pid is None or os.getsid(pid) == pid != os.getsid(0)


async def test_what_cannot_be_started_says_so(make: Make) -> None:
    provider = make(["/no/such/agent"])

    with pytest.raises(StartFailed, match="/no/such/agent"):
        await provider.start(WorkerSpec(worker_id=new_id(), name="w", type="t"))
