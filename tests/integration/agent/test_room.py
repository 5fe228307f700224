"""How much a worker takes, what it gives back, and how it leaves."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.agents import MAX_NAMED, Drain
from schemas.events import ExecutionFinished, ExecutionReturned, ExecutionStarted
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, Reason
from shared.process.tree import INCARNATION_MARK, find, mark
from shared.service import stop_all

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire

TRUE = RunSpec(command="/bin/true", type="exec")


def living(control: ControlPlane) -> list[int]:
    return [member.pid for member in find([mark(INCARNATION_MARK, control.agent.identity.incarnation)])]


async def test_a_worker_announces_itself(control: ControlPlane) -> None:
    beat = control.heartbeats[0]
    assert (beat.worker_id, beat.incarnation) == (control.worker_id, control.agent.identity.incarnation)
    assert (beat.slots, beat.prefetch, beat.type, beat.draining) == (4, 0, "default", False)


async def test_what_is_over_its_room_is_given_back(control: ControlPlane) -> None:
    long = [control.assignment("sleep 600") for _ in range(6)]
    await control.dispatch(*long)
    for assignment in long[4:]:
        await control.returned(assignment.execution_id)
    await control.until(lambda: len(control.said(ExecutionStarted)) == 4)
    assert {event.execution_id for event in control.said(ExecutionReturned)} == {a.execution_id for a in long[4:]}
    await control.stop(*(assignment.execution_id for assignment in long))
    for assignment in long[:4]:
        await control.finished(assignment.execution_id)


async def test_short_work_makes_room_for_more_and_quiet_takes_it_back(control: ControlPlane) -> None:
    sent = 0
    while not any(offer.prefetch for offer in control.offers):
        batch = [control.assignment(TRUE) for _ in range(4)]
        await control.dispatch(*batch)
        for assignment in batch:
            await control.finished(assignment.execution_id)
        sent += len(batch)
        assert sent < 1000
    await control.until(lambda: control.offers[-1].prefetch == 0)
    numbers = [news.sequence for news in (*control.offers, *control.heartbeats)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "heartbeats and offers are counted together"


async def test_what_waits_is_given_back_by_a_drain_and_what_runs_ends(control: ControlPlane, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    control.agent.runner.slots = 1
    control.agent.runner._prefetch.offer(1, 0.0)
    running, waiting, late = (control.assignment(f"echo on; cat {gate}") for _ in range(3))
    await control.dispatch(running, waiting)
    await control.printed(running.execution_id, "on")
    await control.drain(Drain())
    await control.returned(waiting.execution_id)
    await control.dispatch(late)
    await control.returned(late.execution_id)
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await control.finished(running.execution_id)).status is ExecutionStatus.SUCCEEDED
    await control.until(lambda: control.heartbeats[-1].draining)


async def test_what_waits_can_be_cancelled(control: ControlPlane) -> None:
    control.agent.runner.slots = 1
    control.agent.runner._prefetch.offer(1, 0.0)
    running, waiting = control.assignment("echo on; sleep 600"), control.assignment("echo never")
    await control.dispatch(running, waiting)
    await control.printed(running.execution_id, "on")
    await control.stop(waiting.execution_id)
    finished = await control.finished(waiting.execution_id)
    assert (finished.status, finished.reason, finished.started_at) == (
        ExecutionStatus.CANCELLED,
        Reason.CANCELLED,
        None,
    )
    await control.stop(running.execution_id)
    await control.finished(running.execution_id)


async def test_what_waits_behind_long_work_is_given_back(control: ControlPlane) -> None:
    control.agent.runner.slots = 1
    control.agent.runner._prefetch.offer(4, 0.0)
    running, waiting = control.assignment("sleep 600"), control.assignment("true")
    await control.dispatch(running, waiting)
    assert "no free slot" in (await control.returned(waiting.execution_id)).detail
    await control.stop(running.execution_id)
    await control.finished(running.execution_id)


async def test_a_stopping_worker_waits_for_what_runs_and_says_goodbye(
    hire: Hire, nats_url: str, namespace: str
) -> None:
    control = await hire(nats_url, namespace)
    execution_id = await control.run("echo on; sleep 0.3")
    await control.printed(execution_id, "on")
    services, control.agent.services = control.agent.services, ()
    await stop_all(services, deadline=20)
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    await control.until(lambda: control.heartbeats[-1].leaving)
    assert control.heartbeats[-1].held() == set()
    assert control.agent.clean


async def test_a_stopping_worker_kills_what_outlasts_the_deadline(hire: Hire, nats_url: str, namespace: str) -> None:
    control = await hire(nats_url, namespace, stop_deadline=1)
    execution_id = await control.run("trap '' TERM; echo on; sleep 600; sleep 600")
    await control.printed(execution_id, "on")
    services, control.agent.services = control.agent.services, ()
    await stop_all(services, deadline=20)
    await control.until(lambda: control.heartbeats[-1].leaving)
    assert control.heartbeats[-1].running == [execution_id]
    assert control.said(ExecutionFinished, execution_id) == []
    assert not control.agent.clean
    assert living(control) == []


async def test_a_forced_drain_ends_everything_without_an_outcome(control: ControlPlane) -> None:
    execution_id = await control.run("trap '' TERM; echo on; sleep 600; sleep 600")
    await control.printed(execution_id, "on")
    await control.drain(Drain(force=True))
    await control.agent.runner.idle.wait()
    assert living(control) == []
    assert control.agent.runner.lost == [execution_id]
    assert control.said(ExecutionFinished, execution_id) == []


async def test_ten_thousand_lines_arrive_in_order(control: ControlPlane) -> None:
    lines = await control.log(await control.run("seq 10000"))
    assert [line.message for line in lines] == [str(number) for number in range(1, 10_001)]


async def test_a_runaway_log_keeps_its_head_and_its_tail(hire: Hire, nats_url: str, namespace: str) -> None:
    control = await hire(nats_url, namespace, log_limit=256 << 10)
    execution_id = await control.run("seq 1000000; echo end")
    lines = await control.log(execution_id)
    finished = await control.finished(execution_id)
    assert finished.log.truncated
    assert finished.log.lines == len(lines)
    messages = [line.message for line in lines if line.stream == "stdout"]
    assert messages[:3] == ["1", "2", "3"]
    assert messages[-2:] == ["1000000", "end"]
    assert any("left out here" in line.message for line in lines if line.stream == "system")
    assert sum(len(line.message) for line in lines) < 300 << 10


async def test_an_endless_log_can_be_cancelled(hire: Hire, nats_url: str, namespace: str) -> None:
    control = await hire(nats_url, namespace, log_limit=1 << 20)
    execution_id = await control.run("yes")
    await control.printed(execution_id, "half of the output limit is used")
    assert (await control.finished(await control.run("true"))).status is ExecutionStatus.SUCCEEDED
    await control.stop(execution_id)
    assert (await control.finished(execution_id)).log.truncated


async def test_binary_output_becomes_text(control: ControlPlane) -> None:
    execution_id = await control.run(RunSpec(command=r"printf 'a\377b\0c\r\nlast'", type="bash"))
    assert [line.message for line in await control.log(execution_id)] == ["a\ufffdb\ufffdc", "last"]
    execution_id = await control.run("head -c 300000 /dev/urandom")
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    assert await control.log(execution_id)


async def test_outcomes_beyond_what_a_heartbeat_may_name_are_named_later(control: ControlPlane) -> None:
    held = [f"{number:08}" for number in range(MAX_NAMED + 1)]
    for id in held:
        control.agent.delivery.hold(id)
    await control.until(lambda: bool(control.heartbeats[-1].reporting))
    assert control.heartbeats[-1].reporting == held[:MAX_NAMED]
    control.agent.delivery._settle(held[:1])
    await control.until(lambda: control.heartbeats[-1].reporting == held[1:])
    control.agent.delivery._settle(held[1:])
