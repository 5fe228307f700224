"""What the orchestrator remembers of running jobs."""

from datetime import UTC, datetime

import pytest

from orchestrator import memory
from orchestrator.domain.definition import StepRules
from orchestrator.domain.run import JobRun
from orchestrator.domain.state import JobState, TaskState
from orchestrator.memory import RunMemory
from schemas.events import ExecutionFinished
from schemas.states import ExecutionStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _run(id: str, tasks: int = 1) -> JobRun:
    """A job that has just begun, with so many tasks."""
    states = {f"{id}-{n}": TaskState(f"{id}-{n}", StepRules(f"n{n}")) for n in range(tasks)}
    run = JobRun(JobState(id=id, name="j", created_at=NOON), states, lambda: 0.5)
    run.begin(NOON)
    return run


def _finish(run: JobRun, task_id: str, *, outputs: dict[str, str] | None = None) -> None:
    report = ExecutionFinished(
        execution_id="e",
        task_id=task_id,
        job_id=run.job.id,
        attempt=1,
        worker_id="w",
        incarnation="i",
        status=ExecutionStatus.SUCCEEDED,
        finished_at=NOON,
        outputs=outputs,
    )
    run.apply(report, NOON)


def test_a_run_that_is_taken_is_as_if_loaded() -> None:
    kept = RunMemory()
    run = _run("a")
    kept.keep([run])
    taken = kept.take(["a"])
    assert taken is not None
    assert (taken["a"].journal, taken["a"].changed, taken["a"].touched) == ([], set(), False)
    assert taken["a"].job.version == 1
    assert kept.take(["a"]) is None  # it is the taker's alone


def test_all_or_none_are_taken() -> None:
    kept = RunMemory()
    kept.keep([_run("a")])
    assert kept.take(["a", "b"]) is None
    assert kept.take(["a"]) is not None


def test_what_is_over_or_may_have_changed_elsewhere_is_known_no_more() -> None:
    kept = RunMemory(max_tasks=3)
    kept.keep([_run("a"), _run("b")])
    assert "a" in kept
    kept.forget(["a", "unknown"])
    assert "a" not in kept
    assert "b" in kept
    kept.clear()
    assert "b" not in kept
    kept.keep([_run("c", tasks=3)])
    assert "c" in kept  # there is room again


def test_the_version_counts_writes_only() -> None:
    kept = RunMemory()
    run = _run("a", tasks=2)
    kept.keep([run])
    kept.keep([run])
    assert run.job.version == 1
    _finish(run, "a-0")
    kept.keep([run])
    assert run.job.version == 2


def test_what_is_over_is_forgotten() -> None:
    kept = RunMemory()
    run = _run("a")
    _finish(run, "a-0")
    kept.keep([run])
    assert len(kept) == 0


def test_over_the_bound_what_came_first_stays() -> None:
    kept = RunMemory(max_tasks=3)
    kept.keep([_run("a", 2), _run("b", 2), _run("c", 1)])
    assert kept.take(["b"]) is None
    assert kept.take(["a", "c"]) is not None
    kept.keep([_run("d", 3)])
    assert len(kept) == 1


def test_what_nobody_asks_for_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr(memory.time, "monotonic", lambda: moment)
    kept = RunMemory(max_tasks=2)
    kept.keep([_run("a"), _run("b")])
    moment += memory.IDLE / 2
    taken = kept.take(["a"])
    assert taken is not None
    kept.keep(taken.values())
    moment += memory.IDLE / 2
    kept.keep([_run("c"), _run("d")])
    assert kept.take(["b"]) is None
    assert kept.take(["d"]) is None
    assert kept.take(["a", "c"]) is not None


def test_an_older_state_replaces_no_newer_one() -> None:
    kept = RunMemory()
    older, newer = _run("a", 2), _run("a", 2)
    newer.job.version = 5
    kept.keep([newer])
    kept.keep([older])
    taken = kept.take(["a"])
    assert taken is not None
    assert taken["a"] is newer


def test_nothing_is_remembered_for_a_while_once_another_process_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr(memory.time, "monotonic", lambda: moment)
    kept = RunMemory()
    kept.keep([_run("a")])
    kept.distrust()
    assert kept.take(["a"]) is None
    kept.keep([_run("b")])
    assert len(kept) == 0
    moment += memory.DISTRUST
    kept.keep([_run("c")])
    assert kept.take(["c"]) is not None


def test_outputs_count_as_the_tasks_do() -> None:
    kept = RunMemory(max_outputs=3_000)
    runs = [_run("a", 3), _run("b", 2)]
    kept.keep(runs)
    for run in runs:
        taken = kept.take([run.job.id])
        assert taken is not None
        _finish(run, f"{run.job.id}-0", outputs={"TAG": "x" * 1_000})
        kept.keep(taken.values())
    assert len(kept) == 2
    taken = kept.take(["a"])
    assert taken is not None
    _finish(taken["a"], "a-1", outputs={"TAG": "x" * 1_000})
    kept.keep(taken.values())
    assert ("a" in kept, "b" in kept) == (False, True)  # there is no room for it any more
    loaded = _run("c", 2)
    loaded.tasks["c-0"].outputs = {"TAG": "x" * 2_000}  # as of a job that another process worked on
    kept.keep([loaded])
    assert "c" not in kept
    kept.forget(["b"])
    kept.keep([loaded])
    assert "c" in kept
