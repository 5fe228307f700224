"""What a process writes to $HODEI_OUTPUT is reported with its outcome, and what is not valid there fails it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, Reason
from shared.bus.connection import Connection
from shared.service import stop_all
from tests.fixtures.servers import NatsServer
from tests.integration.agent.test_outage import changed

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire


def files(control: ControlPlane) -> list[str]:
    return os.listdir(control.agent.state.outputs)


async def test_outputs_are_reported_with_the_outcome(control: ControlPlane) -> None:
    run = "echo TAG=v1 >> $HODEI_OUTPUT; printf 'NOTES<<END\\na\\nb\\nEND\\nTAG=v2' >> $HODEI_OUTPUT"
    finished = await control.finished(await control.run(run))
    assert (finished.status, finished.outputs) == (ExecutionStatus.SUCCEEDED, {"TAG": "v2", "NOTES": "a\nb"})
    assert (await control.finished(await control.run("test ! -e $HODEI_OUTPUT"))).outputs is None
    assert (await control.finished(await control.run("> $HODEI_OUTPUT"))).outputs is None
    assert files(control) == []


async def test_each_execution_has_a_file_of_its_own(control: ControlPlane) -> None:
    ids = [await control.run(f"echo N={number} >> $HODEI_OUTPUT") for number in range(4)]
    assert [(await control.finished(id)).outputs for id in ids] == [{"N": str(number)} for number in range(4)]


async def test_a_bad_line_fails_a_process_that_exited_with_0(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("printf 'A=1\\nB 2\\nC=3\\n' >> $HODEI_OUTPUT"))
    assert (finished.status, finished.reason, finished.exit_code) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT, 0)
    assert finished.detail == "line 2 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: B 2"
    assert finished.outputs == {"A": "1"}


async def test_a_process_that_fails_keeps_its_own_reason_and_its_outputs(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("printf 'A=1\\nB 2\\n' >> $HODEI_OUTPUT; exit 3"))
    assert (finished.status, finished.reason, finished.exit_code) == (ExecutionStatus.FAILED, Reason.EXIT_CODE, 3)
    assert (finished.detail, finished.outputs) == (None, {"A": "1"})
    timed_out = RunSpec(command="echo A=1 >> $HODEI_OUTPUT; sleep 600", timeout=0.3)
    finished = await control.finished(await control.run(timed_out))
    assert (finished.status, finished.outputs) == (ExecutionStatus.TIMED_OUT, {"A": "1"})


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ("ln -s /etc/passwd $HODEI_OUTPUT", "is not a regular file"),
        ("mkfifo $HODEI_OUTPUT", "is not a regular file"),
        ("mkdir -p $HODEI_OUTPUT/a; touch $HODEI_OUTPUT/a/b; chmod 0 $HODEI_OUTPUT/a", "is not a regular file"),
        ("truncate -s 10G $HODEI_OUTPUT", "has 10,737,418,240 bytes; the outputs of a step have at most 65,536"),
    ],
)
async def test_what_is_put_in_its_place_fails_the_execution_and_is_removed(
    control: ControlPlane, command: str, detail: str
) -> None:
    finished = await control.finished(await control.run(command))
    assert (finished.reason, finished.detail, finished.outputs) == (Reason.BAD_OUTPUT, f"$HODEI_OUTPUT {detail}", None)
    await stop(control)
    assert not control.agent.state.outputs.exists()


async def test_one_that_goes_on_writing_is_ended_first(control: ControlPlane) -> None:
    writer = "(while :; do echo A=1; done >> $HODEI_OUTPUT) > /dev/null 2>&1 & sleep 0.2"
    finished = await control.finished(await control.run(writer))
    assert (finished.status, finished.reason) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT)
    assert files(control) == []


async def test_a_command_that_removes_the_folder_harms_no_later_one(control: ControlPlane) -> None:
    assert (await control.finished(await control.run('rm -r "${HODEI_OUTPUT%/*}"'))).status is ExecutionStatus.SUCCEEDED
    assert (await control.finished(await control.run("echo A=1 >> $HODEI_OUTPUT"))).outputs == {"A": "1"}


async def test_64_kib_of_outputs_travel_at_once_and_from_disk(
    own_nats: Callable[[], Awaitable[NatsServer]], hire: Hire, tmp_path: Path
) -> None:
    server = await own_nats()
    control = await hire(server.url, "outage")
    value = "\x01" * (65_536 - 3)
    (tmp_path / "value").write_text(f"A={value}\n")
    run = f"cp {tmp_path}/value $HODEI_OUTPUT"
    for execution_id in [await control.run(run) for _ in range(4)]:
        assert (await control.finished(execution_id)).outputs == {"A": value}
    os.mkfifo(gate := tmp_path / "gate")
    execution_id = await control.run(f"echo ready; cat {gate}; {run}")
    await control.printed(execution_id, "ready")
    await settled(control)
    await server.stop()
    await changed(control.agent.bus, False)
    gate.write_text("")
    await control.agent.runner.idle.wait()
    await control.agent.reporter.settle()
    assert control.agent.delivery.unsettled == {execution_id}
    await server.start()
    await control.catch_up()
    assert (await control.finished(execution_id)).outputs == {"A": value}


async def test_outputs_that_nats_no_longer_takes_fail_the_execution_and_do_not_lose_it(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "max_payload", property(lambda _: 8_000))
    ids = [await control.run(f"echo A=$(seq {most}) >> $HODEI_OUTPUT") for most in (3, 3_000)]
    small, large = [await control.finished(id) for id in ids]
    assert (small.status, small.outputs) == (ExecutionStatus.SUCCEEDED, {"A": "1 2 3"})
    assert (large.status, large.reason, large.outputs) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT, None)
    assert "larger than the NATS server takes, whose max_payload was lowered" in (large.detail or "")
    await settled(control)


async def settled(control: ControlPlane) -> None:
    """Wait until the agent knows that all outcomes are stored; they are heard a moment before."""
    await control.until(lambda: not control.agent.delivery.unsettled)


async def stop(control: ControlPlane) -> None:
    services, control.agent.services = list(control.agent.services), ()
    await stop_all(services, deadline=20)
