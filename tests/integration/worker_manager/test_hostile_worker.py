"""A worker that reports on executions of others, or writes into their logs: nothing of it is recorded or shown."""

from __future__ import annotations

from schemas.events import LogChunk, LogLine
from schemas.states import ExecutionStatus
from shared.held_reports import HeldReports
from tests.fixtures.events import publish_log
from tests.integration.worker_manager.conftest import Platform, Running
from tests.unit.worker_manager.events import NOON, Script


def forger_of(script: Script) -> Script:
    return Script(execution_id=script.execution_id, task_id=script.task_id, job_id=script.job_id)


def chunk(script: Script, seq: int, message: str) -> LogChunk:
    line = LogLine(timestamp=NOON, stream="stdout", message=message)
    return LogChunk(execution_id=script.execution_id, seq=seq, lines=[line])


async def test_only_the_worker_that_an_execution_is_placed_on_is_recorded(platform: Platform, manager: Running) -> None:
    script = Script()
    forger = forger_of(script)
    await platform.say(script.scheduled())
    await manager.recorded(1)
    await platform.report(forger.started(), forger.finished(ExecutionStatus.FAILED, exit_code=3), forger.returned())
    await platform.report(script.started(), script.finished())
    await manager.recorded(6)
    row = await platform.row(script.execution_id)
    assert (row["status"], row["exit_code"], str(row["worker_id"])) == ("succeeded", 0, script.worker_id)
    assert 'hodei_foreign_reports_total{kind="report"} 0.0' not in await manager.metrics()


async def test_a_report_that_comes_before_its_order_is_recorded_after_it(platform: Platform, manager: Running) -> None:
    script = Script()
    held = manager.part(HeldReports)
    await platform.report(script.finished())
    await manager.recorded(1)
    assert (await platform.row(script.execution_id), len(held)) == (None, 1)
    await platform.say(script.scheduled())
    while len(held):
        await held.next_run()
    row = await platform.row(script.execution_id)
    assert (row["status"], str(row["worker_id"])) == ("succeeded", script.worker_id)


async def test_a_log_shows_the_chunks_of_its_worker_only(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.say(script.scheduled())
    for seq in range(1, 40):
        await publish_log(platform.bus, chunk(script, seq, "forged"), forger_of(script).worker_id)
    await publish_log(platform.bus, chunk(script, 1, "true"), script.worker_id)
    await platform.report(script.finished(chunks=1))
    await manager.recorded(2)
    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")
    assert [line["message"] for line in shown["logs"]] == ["true"]
    assert 'hodei_foreign_reports_total{kind="log"} 0.0' not in await manager.metrics()
