"""The bus, or the disk, has no room for what a worker has to say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from schemas.states import ExecutionStatus
from schemas.subjects import LOGS
from tests.fixtures.servers import NatsServer

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire

OwnNats = Callable[[], Awaitable[NatsServer]]


LOUD = "head -c 300000 /dev/zero | tr '\\0' x | fold -w 1000"


async def finished(control: ControlPlane, command: str) -> str:
    """Run a command until its outcome is told."""
    execution_id = await control.run(command)
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    return execution_id


async def set_logs(control: ControlPlane, **changes: object) -> None:
    """Change the stream of logs."""
    connection, name = control.bus._connection, control.bus.catalogue.stream(LOGS)
    config: dict[str, Any] = (await connection.api(f"STREAM.INFO.{name}", {}))["config"]
    await connection.api(f"STREAM.UPDATE.{name}", {**config, **changes})


async def test_commands_that_ended_hold_no_slot_because_the_bus_refuses_their_logs(
    hire: Hire, nats_url: str, namespace: str
) -> None:
    control = await hire(nats_url, namespace)
    await set_logs(control, discard="new", max_bytes=200_000)
    loud = [await finished(control, LOUD) for _ in range(5)]
    quiet = [await finished(control, "echo ok") for _ in range(15)]
    assert not control.agent.delivery.empty
    await set_logs(control, discard="old", max_bytes=1 << 30)
    await asyncio.wait_for(control.agent.delivery.drained(), 20)
    for execution_id in loud:
        assert sum(len(line) for line in await control.stored_log(execution_id)) == 300_000
    assert await control.stored_log(quiet[-1]) == ["ok"]
