"""NATS goes away and comes back, and the agent itself dies: what was done is told all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from schemas.events import ExecutionFinished
from schemas.states import ExecutionStatus
from shared.bus import Bus
from shared.ids import new_id
from shared.process.tree import EXECUTION_MARK, find, mark, reap
from shared.service import stop_all
from tests.fixtures.servers import NatsServer
from worker_manager.providers import pidfd

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire

OwnNats = Callable[[], Awaitable[NatsServer]]


async def changed(bus: Bus, connected: bool) -> None:
    """Wait until the bus is, or is not, connected."""
    event = asyncio.Event()
    forget = bus.on_change(lambda now: event.set() if now is connected else None)
    if bus.connected is not connected:
        async with asyncio.timeout(20):
            await event.wait()
    forget()


async def test_what_ends_while_the_bus_is_away_is_told_when_it_is_back(hire: Hire, own_nats: OwnNats) -> None:
    server = await own_nats()
    control = await hire(server.url, "outage")
    gate = control.agent.state.path / "gate"
    os.mkfifo(gate)
    execution_id = await control.run(f"echo before; cat {gate}; seq 1000")
    await control.printed(execution_id, "before")
    await server.stop()
    await changed(control.agent.bus, False)
    await asyncio.to_thread(gate.write_text, "during\n")
    await asyncio.wait_for(control.agent.runner.idle.wait(), 20)
    await control.agent.reporter.settle()
    assert not control.agent.delivery.empty
    assert control.agent.delivery.unsettled == {execution_id}
    await server.start()
    await control.catch_up()
    finished = await control.finished(execution_id)
    assert finished.status is ExecutionStatus.SUCCEEDED
    assert await control.stored_log(execution_id) == ["before", "during", *map(str, range(1, 1001))]
    await asyncio.wait_for(control.agent.delivery.drained(), 20)
    assert control.agent.delivery.unsettled == set()
    await changed(control.bus, True)
    assert (await control.finished(await control.run("true"))).status is ExecutionStatus.SUCCEEDED


async def test_an_agent_beats_faster_for_a_while_when_the_bus_is_back(hire: Hire, own_nats: OwnNats) -> None:
    server = await own_nats()
    control = await hire(server.url, "outage", heartbeat=60)
    await server.stop()
    await changed(control.agent.bus, False)
    before = len(control.heartbeats)
    await server.start()
    await control.until(lambda: len(control.heartbeats) >= before + 3)


async def test_what_an_agent_could_not_say_its_next_start_says(hire: Hire, own_nats: OwnNats) -> None:
    server = await own_nats()
    first = await hire(server.url, "outage")
    gate = first.agent.state.path / "gate"
    os.mkfifo(gate)
    execution_id = await first.run(f"echo before; cat {gate}")
    await first.printed(execution_id, "before")
    await server.stop()
    await changed(first.agent.bus, False)
    await asyncio.to_thread(gate.write_text, "during\n")
    services, first.agent.services = first.agent.services, ()
    await stop_all(services, deadline=20)
    assert not first.agent.delivery.empty
    await server.start()
    second = await hire(server.url, "outage")
    finished = await second.finished(execution_id)
    assert finished.status is ExecutionStatus.SUCCEEDED
    assert second.worker_id == first.worker_id
    assert execution_id in second.heartbeats[0].reporting
    assert second.agent.identity.incarnation != first.agent.identity.incarnation


class AgentProcess:
    """An agent as a process of its own, with a lifeline."""

    def __init__(self, url: str, namespace: str, state: Path, **environment: str) -> None:
        self.lifeline, self.write_end = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker_manager.agent"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "NATS_URL": url,
                "HODEI_NAMESPACE": namespace,
                "HODEI_STATE_DIR": str(state),
                "HODEI_LIFELINE_FD": str(self.lifeline),
                **environment,
            },
            pass_fds=[self.lifeline],
            stderr=subprocess.PIPE,
        )
        os.close(self.lifeline)

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        _, errors = await asyncio.wait_for(asyncio.to_thread(self.process.communicate), 20)
        self.errors = errors.decode()
        return self.process.returncode

    def kill(self, *, with_sentinel: bool) -> None:
        """End it as running out of memory would; `with_sentinel` as if the machine's whole memory were scarce."""
        if with_sentinel:
            for child in psutil.Process(self.process.pid).children():
                if "worker_manager.agent.sentinel" in child.cmdline():
                    child.kill()
        self.process.kill()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.write_end)


@pytest.fixture
def agent_process(nats_url: str, namespace: str, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    started: list[AgentProcess] = []

    def start(**environment: str) -> AgentProcess:
        started.append(AgentProcess(nats_url, namespace, tmp_path / "real", **environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


async def attach(control: ControlPlane, process: AgentProcess, worker_id: str) -> None:
    """Point the control plane at an agent in another process."""
    control.worker_id = worker_id
    control.heartbeats.clear()
    catalogue = control.bus.catalogue
    await control.bus.subscribe(catalogue.agent(worker_id, "heartbeat"), control._on_heartbeat)
    await control.until(lambda: bool(control.heartbeats) and control.heartbeats[-1].pid == process.process.pid)


async def busy(control: ControlPlane, process: AgentProcess, worker_id: str) -> str:
    """Have it run something that would go on for long; its execution id."""
    await attach(control, process, worker_id)
    assignment = control.assignment("trap '' TERM; setsid sleep 600 & echo on; sleep 600; sleep 600")
    await control.dispatch(assignment, incarnation=control.heartbeats[-1].incarnation)
    await control.printed(assignment.execution_id, "on")
    return assignment.execution_id


def leftovers(execution_id: str) -> list[int]:
    return [member.pid for member in find([mark(EXECUTION_MARK, execution_id)])]


async def test_a_signal_ends_an_agent_in_order(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    await attach(control, process, worker_id)
    process.process.send_signal(signal.SIGTERM)
    assert await process.end() == 0, process.errors
    await control.until(lambda: control.heartbeats[-1].leaving)


async def test_an_agent_that_leaves_something_unfinished_ends_with_1(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2", HODEI_STOP_DEADLINE="2")
    execution_id = await busy(control, process, worker_id)
    process.process.send_signal(signal.SIGTERM)
    assert await process.end() == 1
    assert leftovers(execution_id) == []


async def test_an_agent_that_has_no_time_for_a_goodbye_says_that_it_ends_and_its_next_start_that_it_did(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    environment = {"HODEI_WORKER_ID": worker_id, "HODEI_HEARTBEAT_SECONDS": "60"}
    process = agent_process(**environment)
    await busy(control, process, worker_id)
    ended = control.heartbeats[-1].incarnation
    process.process.send_signal(signal.SIGTERM)
    await control.until(lambda: control.heartbeats[-1].exiting)
    assert not control.heartbeats[-1].leaving
    process.process.kill()
    await process.end()

    again = agent_process(**environment)
    await attach(control, again, worker_id)

    assert control.heartbeats[-1].stopped == [ended]


async def test_an_agent_dies_with_its_starter_and_takes_everything_along(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    execution_id = await busy(control, process, worker_id)
    os.close(process.write_end)
    process.write_end = os.open(os.devnull, os.O_RDONLY)
    assert await process.end() == 1
    assert leftovers(execution_id) == []
    await control.bus.flush()
    assert control.said(ExecutionFinished, execution_id) == [], "it did not fail: it is lost"


async def test_an_agent_that_is_killed_takes_everything_along(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    execution_id = await busy(control, process, worker_id)
    left = [os.pidfd_open(pid) for pid in leftovers(execution_id)]
    assert len(left) >= 2
    process.kill(with_sentinel=False)
    await process.end()
    for descriptor in left:
        async with asyncio.timeout(10):
            await pidfd.ended(descriptor)
        os.close(descriptor)


async def test_what_a_killed_agent_left_behind_is_reaped(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    execution_id = await busy(control, process, worker_id)
    process.kill(with_sentinel=True)
    await process.end()
    assert len(leftovers(execution_id)) >= 2
    assert await asyncio.to_thread(reap, worker_id=worker_id) >= 2
    assert leftovers(execution_id) == []


async def test_an_agent_that_starts_again_ends_what_its_killed_self_left(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    process = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    execution_id = await busy(control, process, worker_id)
    process.kill(with_sentinel=True)
    await process.end()
    again = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    await attach(control, again, worker_id)
    assert leftovers(execution_id) == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"HODEI_WORKER_SLOTS": "none"}, "HODEI_WORKER_SLOTS='none'"),
        ({"HODEI_WORKER_LABELS": "zone"}, "key=value"),
        ({"HODEI_WORKER_CAPACITY": "gpus=1"}, "'gpus' is not one of cpu_m, memory_mb, gpu"),
        ({"HODEI_WORKER_CAPACITY": "gpu=some"}, "gpu should be a whole number"),
        ({"HODEI_WORKER_ID": "one"}, "HODEI_WORKER_ID"),
        ({"HODEI_WORKER_SLOT": "1"}, "did you mean HODEI_WORKER_SLOTS?"),
    ],
)
async def test_a_bad_setting_is_one_clear_line(
    agent_process: Callable[..., AgentProcess], environment: dict[str, str], words: str
) -> None:
    process = agent_process(**environment)
    assert await process.end() == 2
    assert words in process.errors
    assert len(process.errors.strip().splitlines()) == 1


async def test_two_agents_do_not_share_a_folder(
    control: ControlPlane, agent_process: Callable[..., AgentProcess]
) -> None:
    worker_id = new_id()
    first = agent_process(HODEI_WORKER_ID=worker_id, HODEI_HEARTBEAT_SECONDS="0.2")
    await attach(control, first, worker_id)
    second = agent_process()
    assert await second.end() == 2
    assert "another agent is working in" in second.errors
