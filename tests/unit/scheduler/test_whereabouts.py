"""A task that waits for no worker: where it is, in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.domain.whereabouts import in_words
from schemas.questions import StepState, TaskAnswer
from schemas.states import JobStatus, Reason, TaskStatus
from tests.unit.scheduler.making import START


def told(status: TaskStatus, *steps: StepState, **fields: object) -> TaskAnswer:
    values: dict[str, object] = {
        "task_id": "t",
        "job_id": "j",
        "name": "deploy",
        "status": status,
        "attempt": 1,
        "job_status": JobStatus.RUNNING,
        "depends_on": list(steps),
    }
    return TaskAnswer.model_validate(values | fields)


def step(name: str, status: TaskStatus, *, satisfied: bool = False) -> StepState:
    return StepState(name=name, status=status, satisfied=satisfied)


BUILD = step("build", TaskStatus.RUNNING)
DONE = step("lint", TaskStatus.SUCCEEDED, satisfied=True)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (told(TaskStatus.PENDING, BUILD, DONE), "waits for step build, which is running"),
        (
            told(TaskStatus.PENDING, BUILD.model_copy(update={"matrix": {"python": "3.11", "os": "debian"}})),
            "waits for step build (3.11, debian), which is running",
        ),
        (
            told(TaskStatus.PENDING, BUILD.model_copy(update={"asks": True}), DONE),
            "waits for step build, which waits for an approval",
        ),
        (
            told(TaskStatus.PENDING, step("ask", TaskStatus.PENDING).model_copy(update={"asks": True})),
            "waits for step ask, which is pending",
        ),
        (
            told(TaskStatus.PENDING, BUILD, step("test", TaskStatus.PENDING)),
            "waits for steps build (running), test (pending)",
        ),
        (told(TaskStatus.PENDING, job_status=JobStatus.PENDING), "waits for its job to begin"),
        (told(TaskStatus.QUEUED), "is queued as attempt 1, and on its way to the scheduler"),
        (
            told(TaskStatus.QUEUED, attempt=2, run_at=START + timedelta(seconds=5)),
            "is not due before 2026-01-01T00:00:05.000000Z (attempt 2)",
        ),
        (
            told(TaskStatus.SCHEDULED, execution_id="e", worker_id="w"),
            "is placed on worker w as execution e and about to start",
        ),
        (told(TaskStatus.SCHEDULED), "is placed on a worker and about to start"),
        (
            told(TaskStatus.RUNNING, execution_id="e", worker_id="w", worker_name="north", started_at=START),
            "runs on worker north (w) as execution e since 2026-01-01T00:00:00.000000Z",
        ),
        (
            told(TaskStatus.RUNNING, started_at=START, asks="deploy?"),
            "waits for an approval since 2026-01-01T00:00:00.000000Z: deploy?",
        ),
        (told(TaskStatus.RUNNING, asks=""), "waits for an approval"),
        (told(TaskStatus.SUCCEEDED, asks=""), "does not wait: it was approved"),
        (
            told(TaskStatus.FAILED, asks="", reason=Reason.REJECTED, detail="rejected by ana: not yet"),
            "does not wait: it was rejected by ana: not yet",
        ),
        (
            told(TaskStatus.FAILED, asks="", reason=Reason.TIMEOUT, detail="it was not decided within 5 s"),
            "does not wait: it failed in attempt 1 (timeout): it was not decided within 5 s",
        ),
        (told(TaskStatus.SUCCEEDED, attempt=2), "does not wait: it succeeded in attempt 2"),
        (
            told(TaskStatus.FAILED, reason=Reason.EXIT_CODE, exit_code=3),
            "does not wait: it failed in attempt 1 (exit_code 3)",
        ),
        (told(TaskStatus.CANCELLED, reason=Reason.JOB_TIMEOUT), "does not wait: it was cancelled (job_timeout)"),
        (
            told(TaskStatus.SKIPPED, step("build", TaskStatus.FAILED), reason=Reason.DEPENDENCY_FAILED),
            "does not wait: it was skipped, because step build failed",
        ),
        (
            told(TaskStatus.SKIPPED, step("build", TaskStatus.SKIPPED), reason=Reason.DEPENDENCY_FAILED),
            "does not wait: it was skipped, because step build was skipped",
        ),
        (
            told(TaskStatus.SKIPPED, DONE, reason=Reason.CONDITION, condition="params.stage == 'prod'"),
            "does not wait: it was skipped, because its `if` was false: params.stage == 'prod'",
        ),
        (
            told(TaskStatus.SKIPPED, DONE, reason=Reason.NOT_NEEDED),
            "does not wait: it was skipped, because no step that it depends on failed",
        ),
        (
            told(TaskStatus.PENDING, DONE, step("test", TaskStatus.FAILED), matrix={"os": "debian"}),
            "waits until fewer tasks of its matrix run (`max_parallel`)",
        ),
    ],
)
def test_every_state_has_its_words(task: TaskAnswer, words: str) -> None:
    assert in_words(task, START) == words


def test_a_step_that_waits_for_many_names_ten_of_them() -> None:
    many = [step(f"s{number}", TaskStatus.PENDING) for number in range(200)]
    words = in_words(told(TaskStatus.PENDING, *many), START)
    assert words.endswith("s9 (pending) and 190 more")
