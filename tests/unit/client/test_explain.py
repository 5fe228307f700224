"""What `hodei explain` prints of a job and of a task."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hodei import cli
from hodei.client import Client
from schemas.rest.jobs import JobDetail, Task
from schemas.rest.schedules import Explanation, WorkerGroup, WorkerVerdict
from schemas.states import TaskStatus

ID = "0192f0c1-2345-7abc-8def-0123456789ab"
LACKS = WorkerVerdict.model_construct(worker_id="w1", name="one", fits=False, refusal="lacks the label zone=mars")
WAITS = Explanation.model_construct(
    summary="waits: the only worker that is online lacks the label zone=mars",
    workers=[LACKS],
    others=[WorkerGroup(count=2, refusal="is offline")],
)
AFTER = Explanation.model_construct(summary="waits for step b, which is queued", workers=[], others=[])
DETAILS = ["  worker one (w1) lacks the label zone=mars", "  each of 2 more is offline"]


def explained(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Explanation]) -> list[str]:
    """The lines of `hodei explain` for a job with these tasks."""
    tasks = [Task.model_construct(id=name, name=name, matrix=None, status=TaskStatus.QUEUED) for name in answers]

    async def job(_self: Client, _id: str) -> JobDetail:
        return JobDetail.model_construct(id=ID, key_wait=None, tasks=tasks)

    async def explain(_self: Client, id: str) -> Explanation:
        return answers[id]

    monkeypatch.setattr(Client, "job", job)
    monkeypatch.setattr(Client, "explain", explain)
    done = CliRunner().invoke(cli.app, ["explain", ID])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_a_job_is_explained_with_what_each_worker_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = explained(monkeypatch, {"a": WAITS, "after": AFTER})
    assert lines == [f"a: {WAITS.summary}", *DETAILS, f"after: {AFTER.summary}"]


def test_tasks_that_wait_for_the_same_have_these_lines_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = explained(monkeypatch, {"a": WAITS, "b": WAITS})
    assert lines == [f"a: {WAITS.summary}", *DETAILS, f"b: {WAITS.summary}"]
