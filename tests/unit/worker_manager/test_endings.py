"""How the end of a worker's process is judged."""

import pytest

from schemas.states import WorkerProcessStatus
from worker_manager.domain.endings import Intent, judge

STOPPED, FAILED = WorkerProcessStatus.STOPPED, WorkerProcessStatus.FAILED


@pytest.mark.parametrize(
    ("intent", "exit_code", "took_leave", "status", "clean"),
    [
        (Intent.DRAIN, 0, True, STOPPED, True),
        (Intent.DRAIN, 137, False, FAILED, False),
        (Intent.DRAIN, None, True, STOPPED, True),
        (Intent.DRAIN, None, False, FAILED, False),
        (Intent.FORCE, 137, False, STOPPED, False),
        (Intent.FORCE, None, False, STOPPED, False),
        (Intent.DRAIN, 0, False, STOPPED, False),
        (None, 0, True, STOPPED, True),
        (None, 0, False, STOPPED, False),
        (None, 137, True, FAILED, False),
        (None, 1, False, FAILED, False),
        (None, None, False, FAILED, False),
    ],
)
def test_only_an_end_that_was_wanted_or_orderly_is_no_failure(
    intent: Intent | None, exit_code: int | None, took_leave: bool, status: WorkerProcessStatus, clean: bool
) -> None:
    ending = judge(intent, exit_code=exit_code, took_leave=took_leave)

    assert (ending.status, ending.clean) == (status, clean)


def test_a_failure_says_how_the_process_ended() -> None:
    assert "SIGKILL (9)" in judge(None, exit_code=137, took_leave=False).detail
    assert "exit code 3" in judge(None, exit_code=3, took_leave=False).detail


def test_an_end_was_ordered_when_the_process_did_as_it_was_told() -> None:
    def ordered(intent: Intent | None, exit_code: int | None) -> bool:
        return judge(intent, exit_code=exit_code, took_leave=False).ordered

    assert ordered(Intent.FORCE, 137)
    assert ordered(Intent.DRAIN, 0)
    assert not ordered(Intent.DRAIN, 137), "it was killed while it drained"
    assert not ordered(None, 0)
