"""A machine at its limits, of threads or of descriptors: what runs still ends, and its slots are free again."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from schemas.events import ExecutionFinished, ExecutionStarted
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, Reason
from tests.integration.agent.conftest import PATIENCE
from tests.integration.agent.test_running import STUBBORN, leftovers

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane


@pytest.fixture
async def no_threads(control: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the agent has started, no thread can be started any more."""

    def refuse(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())  # one without idle threads
    monkeypatch.setattr(threading.Thread, "start", refuse)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No process can be held by a descriptor that is not held by one already."""

    def refuse(_pid: int, _flags: int = 0) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        yield


@pytest.mark.usefixtures("no_threads")
async def test_commands_that_leave_files_behind_free_their_slots_when_no_thread_can_be_started(
    control: ControlPlane,
) -> None:
    for _ in range(2 * control.agent.runner.slots):
        assert (await control.finished(await control.run("touch left"))).status is ExecutionStatus.SUCCEEDED
    beats = len(control.heartbeats)
    await control.until(lambda: len(control.heartbeats) > beats + 1)
    assert (control.heartbeats[-1].running, control.heartbeats[-1].unhealthy) == ([], None)


@pytest.mark.usefixtures("no_threads")
async def test_a_time_limit_holds_when_no_thread_can_be_started(control: ControlPlane) -> None:
    execution_id = await control.run(RunSpec(command="sleep 600; sleep 600", timeout=0.2))
    assert (await control.finished(execution_id)).status is ExecutionStatus.TIMED_OUT
    assert leftovers(execution_id) == []


@pytest.mark.usefixtures("no_threads")
async def test_a_worker_recovers_when_no_thread_can_be_started(control: ControlPlane) -> None:
    control.agent.health.blame("a test")
    await control.until(lambda: control.heartbeats[-1].unhealthy is not None)
    await control.until(lambda: control.heartbeats[-1].unhealthy is None)


async def test_a_cancel_that_finds_no_descriptor_is_tried_again_until_there_is_one(control: ControlPlane) -> None:
    execution_id = await control.run(RunSpec(command=STUBBORN, type="python"))
    await control.printed(execution_id, "escaped")
    with no_descriptors():
        await control.stop(execution_id)
        await control.until(lambda: "processes cannot be ended" in (control.heartbeats[-1].unhealthy or ""))
    assert (await control.finished(execution_id)).status is ExecutionStatus.CANCELLED
    assert leftovers(execution_id) == []
    await control.until(lambda: control.heartbeats[-1].unhealthy is None)


@contextmanager
def no_descriptors_once_written(tmp_path: Path) -> Iterator[str]:
    """No process can be held by a descriptor. The first refusal comes when a line was written to the named pipe whose
    path this is, so that the command has come so far before it is found that it cannot be watched."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)
    written = False

    def refuse(_pid: int, _flags: int = 0) -> NoReturn:
        nonlocal written
        if not written:
            assert select.select([fifo], [], [], PATIENCE)[0], "the command has not come so far"
            written = True
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        yield path
    os.close(fifo)


async def test_a_process_that_cannot_be_watched_is_killed_with_its_group_and_not_given_back(
    control: ControlPlane, tmp_path: Path
) -> None:
    with no_descriptors_once_written(tmp_path) as fifo:
        execution_id = await control.run(f"(echo forked >{fifo}; exec sleep 600) & exec sleep 600")
        finished = await control.finished(execution_id)
    assert (finished.status, finished.reason) == (ExecutionStatus.FAILED, Reason.START_FAILED)
    assert (finished.started_at, control.said(ExecutionStarted, execution_id)) == (None, [])
    assert "was started and killed" in (finished.detail or "")
    assert leftovers(execution_id) == []


async def test_what_left_the_group_of_a_process_that_cannot_be_watched_is_found_by_its_mark(
    control: ControlPlane, tmp_path: Path
) -> None:
    with no_descriptors_once_written(tmp_path) as fifo:
        execution_id = await control.run(f"setsid sh -c 'echo left >{fifo}; exec sleep 600' & exec sleep 600")
        await control.until(lambda: "processes cannot be ended" in (control.heartbeats[-1].unhealthy or ""))
        assert len(leftovers(execution_id)) == 1
        assert control.said(ExecutionFinished, execution_id) == []
    finished = await control.finished(execution_id)
    assert (finished.status, finished.reason) == (ExecutionStatus.FAILED, Reason.START_FAILED)
    assert leftovers(execution_id) == []


async def test_a_time_limit_ends_a_process_for_which_there_is_no_descriptor(control: ControlPlane) -> None:
    execution_id = await control.run(RunSpec(command="trap '' TERM; echo on; sleep 600; sleep 600", timeout=0.5))
    await control.printed(execution_id, "on")
    with no_descriptors():
        assert (await control.finished(execution_id)).status is ExecutionStatus.TIMED_OUT
    assert leftovers(execution_id) == []


async def test_a_scan_that_has_no_descriptor_left_does_not_take_what_lives_for_gone(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await control.run("echo on; sleep 600; sleep 600")
    await control.printed(execution_id, "on")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("shared.process.tree.open", refuse, raising=False)
    with pytest.raises(OSError, match="Too many open files"):
        leftovers(execution_id)
    monkeypatch.undo()
    await control.stop(execution_id)
    await control.finished(execution_id)
