"""What becomes of one execution: every way in which it can end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from schemas.agents import Assignment
from schemas.events import ExecutionFinished, ExecutionStarted
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, Reason
from shared.ids import new_id
from shared.process.tree import EXECUTION_MARK, Session, find, mark
from worker_manager.agent.execution import CLOSE_WAIT, Execution

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire

# Escapes its session and its parent, ignores TERM, and says when it stands.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("escaped", flush=True)
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""


def leftovers(execution_id: str) -> list[int]:
    return [member.pid for member in find([mark(EXECUTION_MARK, execution_id)])]


@pytest.mark.smoke
async def test_a_command_runs_and_its_outcome_and_output_are_told(control: ControlPlane) -> None:
    execution_id = await control.run("echo out; echo err >&2")
    finished = await control.finished(execution_id)
    assert (finished.status, finished.exit_code, finished.reason) == (ExecutionStatus.SUCCEEDED, 0, None)
    started = await control.started(execution_id)
    assert started.started_at == finished.started_at
    assert {(line.stream, line.message) for line in await control.log(execution_id)} == {
        ("stdout", "out"),
        ("stderr", "err"),
    }
    assert (finished.log.lines, finished.log.truncated) == (2, False)


async def test_reports_say_what_the_worker_is_called(control: ControlPlane) -> None:
    execution_id = await control.run("true")
    reports = (await control.finished(execution_id), await control.started(execution_id))
    assert {report.worker_name for report in reports} == {control.heartbeats[-1].name}


async def test_reports_carry_the_labels_of_the_step_and_no_field_where_there_are_none(control: ControlPlane) -> None:
    labelled = control.assignment("true").model_copy(update={"labels": {"team": "web"}})
    plain = control.assignment("true")
    await control.dispatch(labelled, plain)
    for order in (labelled, plain):
        for report in (await control.finished(order.execution_id), await control.started(order.execution_id)):
            assert report.labels == order.labels
            assert ("labels" in report.model_dump(exclude_unset=True)) is (order is labelled)


async def test_output_is_counted_in_lines_and_bytes(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("echo é€; echo"))
    assert (finished.log.lines, finished.log.bytes) == (2, 5)


async def test_started_is_said_before_finished(control: ControlPlane) -> None:
    ids = [await control.run("true") for _ in range(4)]
    for execution_id in ids:
        await control.finished(execution_id)
    for execution_id in ids:
        told = [type(event) for event in control.events if getattr(event, "execution_id", "") == execution_id]
        assert told == [ExecutionStarted, ExecutionFinished]


async def test_a_failing_command_keeps_its_exit_code(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("exit 7"))
    assert (finished.status, finished.reason, finished.exit_code) == (
        ExecutionStatus.FAILED,
        Reason.EXIT_CODE,
        7,
    )


async def test_a_signal_is_told_as_128_and_its_number(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("kill -SEGV $$"))
    assert (finished.status, finished.reason, finished.exit_code) == (
        ExecutionStatus.FAILED,
        Reason.SIGNAL,
        139,
    )


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RunSpec(command=["/no/such/thing"], type="exec"), "no such program: /no/such/thing"),
        (RunSpec(command="nosuchprogram", type="exec"), "nosuchprogram is not in the PATH"),
        (RunSpec(command="true", working_dir="/no/such/folder"), "no such working directory: /no/such/folder"),
        (RunSpec(command="true", working_dir="/etc/passwd"), "not a directory: /etc/passwd"),
        (RunSpec(command=["/etc/passwd"], type="exec"), "not permitted to run /etc/passwd"),
        (RunSpec(command=["true", "x" * 200_000], type="exec"), "too long"),
        (RunSpec(command="echo 'unclosed", type="exec"), "cannot be read"),
        (RunSpec(command="true", env={"A": "b\0c"}), "cannot be started"),
    ],
)
async def test_what_cannot_start_says_what_is_missing(control: ControlPlane, run: RunSpec, words: str) -> None:
    finished = await control.finished(await control.run(run))
    assert (finished.status, finished.reason, finished.exit_code) == (
        ExecutionStatus.FAILED,
        Reason.START_FAILED,
        None,
    )
    assert words in (finished.detail or "")
    assert (await control.finished(await control.run("true"))).status is ExecutionStatus.SUCCEEDED


async def test_a_timeout_ends_the_whole_tree(control: ControlPlane) -> None:
    run = RunSpec(command=STUBBORN, type="python", timeout=5)  # by then it heeds no SIGTERM, however busy it is
    execution_id = await control.run(run)
    finished = await control.finished(execution_id)
    assert (finished.status, finished.reason) == (ExecutionStatus.TIMED_OUT, Reason.TIMEOUT)
    assert finished.exit_code == 137
    assert leftovers(execution_id) == []


async def test_cancelling_ends_the_whole_tree(control: ControlPlane) -> None:
    execution_id = await control.run(RunSpec(command=STUBBORN, type="python"))
    await control.printed(execution_id, "escaped")
    assert len(leftovers(execution_id)) == 2
    await control.stop(execution_id)
    finished = await control.finished(execution_id)
    assert (finished.status, finished.reason) == (ExecutionStatus.CANCELLED, Reason.CANCELLED)
    assert leftovers(execution_id) == []


@pytest.mark.parametrize(
    "run",
    [
        RunSpec(command="import time\nprint('begin')\ntime.sleep(600)", type="python"),
        RunSpec(command=["import time", "print('begin')", "time.sleep(600)"], type="python"),
        RunSpec(command="exec python3 -c 'import time; print(\"begin\"); time.sleep(600)'"),
    ],
    ids=["python", "python by lines", "python in a shell"],
)
async def test_what_python_writes_is_seen_while_it_runs_and_kept_when_it_is_cancelled(
    control: ControlPlane, run: RunSpec
) -> None:
    execution_id = await control.run(run)
    await control.printed(execution_id, "begin")
    await control.stop(execution_id)
    assert (await control.finished(execution_id)).status is ExecutionStatus.CANCELLED
    assert [line.message for line in await control.log(execution_id)] == ["begin"]


async def test_what_python_wrote_is_kept_when_its_time_is_over(control: ControlPlane) -> None:
    source = "import time\nprint('begin')\ntime.sleep(600)"
    execution_id = await control.run(RunSpec(command=source, type="python", timeout=5))
    assert (await control.finished(execution_id)).status is ExecutionStatus.TIMED_OUT
    assert [line.message for line in await control.log(execution_id)] == ["begin"]


async def test_a_step_may_have_python_buffer_its_output(control: ControlPlane) -> None:
    run = RunSpec(command="import sys\nprint(sys.stdout.write_through)", type="python", env={"PYTHONUNBUFFERED": ""})
    execution_id = await control.run(run)
    assert [line.message for line in await control.log(execution_id)] == ["False"]


async def test_a_process_that_heeds_term_has_time_to_end(hire: Hire, nats_url: str, namespace: str) -> None:
    control = await hire(nats_url, namespace, grace=20)
    execution_id = await control.run("trap 'echo tidy; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    await control.printed(execution_id, "ready")
    await control.stop(execution_id)
    finished = await control.finished(execution_id)
    assert (finished.status, finished.exit_code) == (ExecutionStatus.CANCELLED, 3)
    assert "tidy" in [line.message for line in await control.log(execution_id)]


async def test_a_stop_that_overtakes_its_execution_refuses_the_start(control: ControlPlane) -> None:
    assignment = control.assignment("echo never")
    await control.stop(assignment.execution_id)
    # Orders of different kinds may be heard in any order: this one is heard when its answer is.
    await control.finished(await control.run("true"))
    await control.dispatch(assignment)
    finished = await control.finished(assignment.execution_id)
    assert (finished.status, finished.started_at) == (ExecutionStatus.CANCELLED, None)
    assert control.said(ExecutionStarted, assignment.execution_id) == []


async def test_a_stop_for_a_reason_of_a_newer_platform_is_obeyed(control: ControlPlane) -> None:
    execution_id = await control.run("sleep 600")
    await control.started(execution_id)
    await control.stop_as(execution_id, "from_the_future")
    outcome = await control.finished(execution_id)
    assert (outcome.status, outcome.reason) == (ExecutionStatus.CANCELLED, Reason.CANCELLED)


async def test_a_fenced_execution_ends_without_a_word(control: ControlPlane) -> None:
    execution_id = await control.run("echo here; sleep 600")
    await control.printed(execution_id, "here")
    await control.until(lambda: execution_id in control.heartbeats[-1].running)
    await control.stop(execution_id, reason=Reason.FENCED)
    await control.until(lambda: execution_id not in control.heartbeats[-1].held())
    assert control.said(ExecutionFinished, execution_id) == []
    assert leftovers(execution_id) == []


async def test_what_is_over_is_told_to_whoever_seeks_it(control: ControlPlane) -> None:
    ended = await control.run("true")
    await control.finished(ended)
    runs = await control.run("echo here; sleep 600")
    await control.printed(runs, "here")
    await control.until(lambda: ended not in control.agent.delivery.unsettled)
    never = new_id()
    await control.seek(ended, runs, never)
    await control.until(lambda: any(beat.over for beat in control.heartbeats))
    [over] = [beat.over for beat in control.heartbeats if beat.over]
    assert over == [ended], "what runs is not over, and what never came may still come"
    await control.stop(runs)
    await control.finished(runs)


async def test_the_same_work_is_done_once(control: ControlPlane) -> None:
    assignment = control.assignment("echo once")
    await control.dispatch(assignment, assignment)
    await control.finished(assignment.execution_id)
    await control.dispatch(assignment)
    await control.finished(await control.run("true"))
    assert len(control.said(ExecutionStarted, assignment.execution_id)) == 1


async def test_work_for_another_incarnation_is_not_done(control: ControlPlane) -> None:
    assignment = control.assignment("echo never")
    await control.dispatch(assignment, incarnation=new_id())
    await control.finished(await control.run("true"))
    assert control.said(ExecutionStarted, assignment.execution_id) == []


async def test_a_straggler_that_holds_the_output_is_ended(control: ControlPlane) -> None:
    execution_id = await control.run("setsid sleep 600 & echo done; exit 5")
    began = time.monotonic()
    finished = await control.finished(execution_id)
    assert time.monotonic() - began >= CLOSE_WAIT
    assert (finished.status, finished.exit_code) == (ExecutionStatus.FAILED, 5)
    assert leftovers(execution_id) == []
    assert [(line.stream, line.remark) for line in await control.log(execution_id)] == [
        ("stdout", None),
        ("system", "ended"),
    ]
    assert "1 process " in (await control.log(execution_id))[-1].message


async def test_stragglers_of_a_silent_command_are_counted(control: ControlPlane) -> None:
    execution_id = await control.run("sleep 600 & sleep 600 & exit 0")
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    [line] = await control.log(execution_id)
    assert (line.remark, line.message.split(" that ")[0]) == ("ended", "the command left 2 processes")


async def test_a_straggler_that_cleared_its_environment_is_found_by_its_session(control: ControlPlane) -> None:
    execution_id = await control.run("echo $$; env -i sleep 600 & exit 0")
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    leader, remark = await control.log(execution_id)
    assert remark.remark == "ended"
    assert find([], session=Session(int(leader.message))) == []


async def test_a_filter_that_outlives_the_shell_writes_all_of_its_output(control: ControlPlane) -> None:
    command = "exec > >(sleep 0.3; sort -n | tail -3); seq 1 300000"
    execution_id = await control.run(RunSpec(command=command, type="bash"))
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    assert [line.message for line in await control.log(execution_id)] == ["299998", "299999", "300000"]


async def test_a_cancel_cuts_the_wait_for_a_straggler_short(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker_manager.agent.execution.CLOSE_WAIT", 600.0)
    execution_id = await control.run("(trap '' HUP; while kill -0 $$; do :; done 2>&-; echo exited; exec sleep 600) &")
    await control.printed(execution_id, "exited")
    await control.stop(execution_id)
    finished = await control.finished(execution_id)
    assert (finished.status, finished.exit_code) == (ExecutionStatus.SUCCEEDED, 0)
    assert leftovers(execution_id) == []


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe, and a descriptor of both its ends: whoever opens it does not wait."""
    os.mkfifo(tmp_path / "fifo")
    both = os.open(tmp_path / "fifo", os.O_RDWR)
    yield tmp_path / "fifo", both
    os.close(both)


async def test_only_output_that_is_still_held_is_waited_for(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch, fifo: tuple[Path, int]
) -> None:
    path, both = fifo
    monkeypatch.setattr("worker_manager.agent.execution.CLOSE_WAIT", 600.0)
    waits: list[str] = []
    endings: list[str] = []
    on_held, end_tree = Execution.on_held, Execution._end_tree

    def note_held(execution: Execution) -> None:
        waits.append(execution.id)
        os.write(both, b"go\n")  # lets the process that holds the output end
        on_held(execution)

    def note_ending(execution: Execution, grace: float, *, again: bool) -> None:
        endings.append(execution.id)
        end_tree(execution, grace, again=again)

    monkeypatch.setattr(Execution, "on_held", note_held)
    monkeypatch.setattr(Execution, "_end_tree", note_ending)

    for command in ("true", "echo x", "seq 1000 | sort -n | tail -1"):
        assert (await control.finished(await control.run(command))).status is ExecutionStatus.SUCCEEDED
    assert (waits, endings) == ([], [])

    # The command ends only after its child has let go of the output.
    silent = await control.run(f"(exec >/dev/null 2>&1; echo ready >{path}; exec sleep 600) & read _ <{path}")
    assert (await control.finished(silent)).status is ExecutionStatus.SUCCEEDED
    assert (waits, endings) == ([], [silent])
    assert await control.log(silent) == [], "no remark on processes that did not hold the output"

    holding = await control.run(f"(read _ <{path}; echo late) & exit 0")
    assert [(line.stream, line.message) for line in await control.log(holding)] == [("stdout", "late")]
    assert waits == [holding]


async def test_a_straggler_in_the_background_is_ended(control: ControlPlane) -> None:
    execution_id = await control.run("sleep 600 >/dev/null 2>&1 & exit 0")
    assert (await control.finished(execution_id)).status is ExecutionStatus.SUCCEEDED
    assert leftovers(execution_id) == []


async def test_the_environment_is_clean_and_marked(control: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    execution_id = await control.run(RunSpec(command="env", env={"MINE": "yes", "HODEI_EXECUTION_ID": "forged"}))
    seen = dict(line.message.split("=", 1) for line in await control.log(execution_id))
    assert seen["MINE"] == "yes"
    assert seen["HODEI_EXECUTION_ID"] == execution_id
    assert not {"NATS_URL", "DATABASE_URL", "PYTEST_CURRENT_TEST"} & set(seen)
    assert {"PATH", "HODEI_WORKER_ID", "HODEI_WORKER_INCARNATION"} <= set(seen)


async def test_each_execution_has_an_empty_folder_that_goes_with_it(control: ControlPlane) -> None:
    first = await control.run("pwd; touch left; ls")
    folder, left = [line.message for line in await control.log(first)]
    assert left == "left"
    second = await control.run("pwd; ls -A")
    assert len(await control.log(second)) == 1
    assert Path(folder).parent.name == "scratch"


async def test_nothing_is_read_from_the_terminal(control: ControlPlane) -> None:
    finished = await control.finished(await control.run("cat; test -p /dev/stdin && exit 9; exit 0"))
    assert finished.status is ExecutionStatus.SUCCEEDED


def run_many(control: ControlPlane, count: int, command: str) -> list[Assignment]:
    return [control.assignment(command) for _ in range(count)]


async def test_no_descriptors_are_left_open(control: ControlPlane) -> None:
    for assignment in (first := run_many(control, 4, "echo x")):
        await control.dispatch(assignment)
    for assignment in first:
        await control.finished(assignment.execution_id)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        batch = run_many(control, 4, "echo x; sleep 60 & exit 1")
        await control.dispatch(*batch)
        for assignment in batch:
            await control.finished(assignment.execution_id)
    assert len(os.listdir("/proc/self/fd")) <= before
