"""A worker on which nothing can start says so, gives back what it got, and comes back when a trial succeeds."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from schemas.agents import Offer
from schemas.events import ExecutionFinished
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, Reason
from shared.errors import ConfigError
from tests.fixtures.disks import fill, remount
from worker_manager.agent.state import StateFolder

if TYPE_CHECKING:
    from tests.integration.agent.conftest import ControlPlane, Hire


TRUE = RunSpec(command=["/bin/true"], type="exec")


class Broken(subprocess.Popen[bytes]):
    """Starts no process as long as there is a fault."""

    fault: Callable[[list[str]], OSError | None] = staticmethod(lambda _argv: None)

    def __init__(self, argv: Any, *args: Any, **options: Any) -> None:
        error = Broken.fault(list(argv))
        if error is not None:
            self.returncode, self._child_created = -1, False
            raise error
        super().__init__(argv, *args, **options)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Broken]:
    """This machine, to let the starting of processes fail."""
    monkeypatch.setattr(Broken, "fault", staticmethod(lambda _argv: None))
    monkeypatch.setattr(subprocess, "Popen", Broken)
    return Broken


def unhealthy(control: ControlPlane) -> str | None:
    """What the worker last said of its health, in a heartbeat or in an offer."""
    return control.heartbeats[-1].unhealthy


async def healthy_again(control: ControlPlane) -> None:
    await control.until(lambda: unhealthy(control) is None)
    assert (await control.finished(await control.run("true"))).status is ExecutionStatus.SUCCEEDED


def no_fork(_argv: list[str]) -> OSError:
    return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def no_shell(argv: list[str]) -> OSError | None:
    return OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/bin/sh") if argv[0] == "/bin/sh" else None


def no_memory_for_anything(argv: list[str]) -> OSError:
    return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), argv[0])


@pytest.mark.parametrize(
    ("fault", "run", "words"),
    [
        (no_fork, "true", "no process can be started: Resource temporarily unavailable"),
        (no_shell, "true", "no process can be started: /bin/sh: No such file or directory"),
        (no_memory_for_anything, TRUE, "Cannot allocate memory"),
    ],
)
async def test_a_worker_that_can_start_nothing_gives_back_what_it_got_until_it_can(
    control: ControlPlane,
    machine: type[Broken],
    fault: Callable[[list[str]], OSError | None],
    run: RunSpec | str,
    words: str,
) -> None:
    machine.fault = fault
    execution_id = await control.run(run)
    assert words in (await control.returned(execution_id)).detail
    await control.until(lambda: words in (unhealthy(control) or ""))
    assert any(isinstance(offer, Offer) and words in (offer.unhealthy or "") for offer in control.offers)
    later = await control.run("true")
    assert (await control.returned(later)).detail.startswith("the worker is unhealthy: ")
    assert not control.said(ExecutionFinished)
    machine.fault = lambda _argv: None
    await healthy_again(control)


async def test_what_only_one_program_cannot_do_is_not_the_workers_fault(
    control: ControlPlane, machine: type[Broken]
) -> None:
    def greedy(argv: list[str]) -> OSError | None:
        return no_memory_for_anything(argv) if argv[0] == "/bin/true" else None

    machine.fault = greedy
    finished = await control.finished(await control.run(TRUE))
    assert finished.reason is Reason.START_FAILED
    assert unhealthy(control) is None


async def test_a_command_that_names_what_is_not_there_leaves_its_worker_healthy(control: ControlPlane) -> None:
    for run in (RunSpec(command="nosuch", type="exec"), RunSpec(command="true", working_dir="/no/such")):
        assert (await control.finished(await control.run(run))).reason is Reason.START_FAILED
    beats = len(control.heartbeats)
    await control.until(lambda: len(control.heartbeats) > beats + 1)
    assert unhealthy(control) is None


async def test_the_reason_of_a_failed_start_is_short_however_long_the_name_of_the_program(
    control: ControlPlane,
) -> None:
    finished = await control.finished(await control.run(RunSpec(command=["\1" * 100_000], type="exec")))
    assert (finished.reason, len(finished.detail or "")) == (Reason.START_FAILED, 500)


async def test_no_job_fails_when_scratch_is_removed_under_a_running_worker(control: ControlPlane) -> None:
    await control.finished(await control.run("true"))
    shutil.rmtree(control.agent.state.scratch)
    for _ in range(3):
        assert (await control.finished(await control.run("touch x"))).status is ExecutionStatus.SUCCEEDED
    assert unhealthy(control) is None


async def test_no_job_fails_when_the_whole_state_is_removed_and_no_second_worker_takes_it(
    control: ControlPlane,
) -> None:
    state = control.agent.state
    for path in state.path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for _ in range(3):
        assert (await control.finished(await control.run("echo x"))).status is ExecutionStatus.SUCCEEDED
    with pytest.raises(ConfigError, match="another agent is working in"):
        StateFolder(state.path, None)
    shutil.rmtree(state.path)
    for _ in range(3):
        assert (await control.finished(await control.run("echo x"))).status is ExecutionStatus.SUCCEEDED


async def test_a_worker_with_a_full_disk_takes_nothing_until_there_is_room(
    hire: Hire, nats_url: str, namespace: str, small_disk: Path
) -> None:
    control = await hire(nats_url, namespace, state_dir=small_disk / "state")
    running = await control.run("echo on; while [ ! -e go ]; do sleep 0.1; done")
    await control.printed(running, "on")
    ballast = fill(small_disk)
    await control.until(lambda: "No space left on device" in (unhealthy(control) or ""))
    assert (await control.returned(await control.run("true"))).detail.startswith("the worker is unhealthy: ")
    ballast.unlink()
    await healthy_again(control)
    await control.stop(running)
    assert (await control.finished(running)).status is ExecutionStatus.CANCELLED


async def test_a_worker_whose_file_system_became_read_only_takes_nothing_until_it_is_not(
    hire: Hire, nats_url: str, namespace: str, small_disk: Path
) -> None:
    control = await hire(nats_url, namespace, state_dir=small_disk / "state")
    remount(small_disk, writable=False)
    await control.until(lambda: "Read-only file system" in (unhealthy(control) or ""))
    remount(small_disk, writable=True)
    await healthy_again(control)
