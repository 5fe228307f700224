"""The command line shows who did what, and no column or line for it where nothing is known of that."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest
import typer
from typer.testing import CliRunner

from hodei import lists, pipelines, schedules, workers
from hodei.cli import app
from hodei.pipelines import print_pipeline, print_pipelines, print_versions
from hodei.schedule_views import print_history, print_schedule, print_schedules
from hodei.views import print_job, print_jobs
from hodei.workers import print_workers
from schemas.access import Actor
from schemas.rest.jobs import JobDetail
from schemas.rest.pipelines import Pipeline
from schemas.rest.schedules import Firing, Schedule
from schemas.rest.workers import RegisteredWorker
from schemas.states import FiringKind, FiringOutcome, JobStatus, Reason, ScheduleStatus, WorkerStatus

ANA = Actor(id="01a22592-5daa-71c2-9b8b-aa9dd6aa970b", name="ana")
BEN = Actor(id="01a22592-5daa-71c2-9b8b-aa9dd6aa970c", name="ben")
AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
ID = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c2"
NOTHING = {"started_at": None, "finished_at": None}


def job(created_by: Actor | None, cancelled_by: Actor | None = None, status: JobStatus = JobStatus.RUNNING) -> Any:
    reason = Reason.CANCELLED if status is JobStatus.CANCELLED else None
    of: dict[str, Any] = {"id": ID, "name": "n", "status": status, "reason": reason, "priority": "normal"}
    of |= {"created_at": AT, "created_by": created_by, "cancelled_by": cancelled_by} | NOTHING
    more: dict[str, Any] = dict.fromkeys(("rerun_of", "pipeline_id", "pipeline_version"))
    return JobDetail.model_construct(**of, **more, params={}, labels={}, tasks=[])


def pipeline(by: Actor | None) -> Pipeline:
    of: dict[str, Any] = {"id": ID, "name": "p", "status": "active", "version": 2, "description": None}
    who: dict[str, Any] = {"created_by": by, "updated_by": by and BEN}
    return Pipeline.model_construct(**of, **who, created_at=AT, updated_at=AT, steps=[], params={})


def schedule(by: Actor | None) -> Schedule:
    of: dict[str, Any] = dict.fromkeys(Schedule.model_fields)
    of |= {"id": ID, "status": ScheduleStatus.SCHEDULED, "command": "true", "priority": "normal", "missed": 0}
    return Schedule.model_construct(**of | {"params": {}, "env": {}, "labels": {}, "created_at": AT, "created_by": by})


def firing(by: Actor | None) -> Firing:
    of: dict[str, Any] = dict.fromkeys(Firing.model_fields)
    of |= {"outcome": FiringOutcome.FIRED, "kind": FiringKind.TRIGGER, "due_at": AT, "count": 1, "more": False}
    return Firing.model_construct(**of | {"triggered_by": by})


def worker(by: Actor | None) -> RegisteredWorker:
    of: dict[str, Any] = {"id": ID, "status": WorkerStatus.DRAINING, "name": "w", "type": "t", "busy": 0, "slots": 1}
    return RegisteredWorker.model_construct(**of, drained=True, drained_by=by)


LISTS: list[tuple[Any, Any, str]] = [
    (print_jobs, job, "BY"),
    (print_pipelines, pipeline, "BY"),
    (print_versions, pipeline, "BY"),
    (print_schedules, schedule, "BY"),
    (print_history, firing, "BY"),
    (print_workers, worker, "DRAINED BY"),
]


@pytest.mark.parametrize(("show", "make", "heading"), LISTS, ids=[show.__name__ for show, *_ in LISTS])
def test_a_list_has_a_column_for_it_where_it_is_known(
    capsys: pytest.CaptureFixture[str], show: Any, make: Any, heading: str
) -> None:
    show([make(ANA), make(None)])
    title, first, second = capsys.readouterr().out.splitlines()
    assert title.endswith(heading)
    assert first.endswith(("ana", "ben"))
    assert not second.endswith(("ana", "ben"))

    show([make(None)])
    assert "BY" not in capsys.readouterr().out


def test_a_job_says_who_submitted_it_and_who_cancelled_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_job(job(ANA, BEN))
    requested = capsys.readouterr().out.splitlines()
    print_job(job(ANA, BEN, JobStatus.CANCELLED))
    cancelled = capsys.readouterr().out.splitlines()
    print_job(job(None))
    unknown = capsys.readouterr().out

    assert "status   running, cancellation requested by ben" in requested
    assert "status   cancelled by ben" in cancelled
    assert any(line.startswith("created  2026-11-2") and line.endswith(" by ana") for line in requested)
    assert " by " not in unknown


def test_a_pipeline_and_a_schedule_say_who_created_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_pipeline(pipeline(ANA))
    print_schedule(schedule(ANA))
    lines = capsys.readouterr().out.splitlines()
    print_pipeline(pipeline(None))
    print_schedule(schedule(None))

    assert [line.split()[0] for line in lines if line.endswith(" by ana")] == ["created", "created"]
    assert [line.split()[0] for line in lines if line.endswith(" by ben")] == ["updated"]
    assert " by " not in capsys.readouterr().out


class Recording:
    """A client that notes the filters of its lists."""

    def __init__(self) -> None:
        self.filters: dict[str, object] = {}

    def __getattr__(self, _name: str) -> Any:
        async def listed(**filters: object) -> Any:
            self.filters = filters
            for none in ():
                yield none

        return listed


@pytest.mark.parametrize(
    ("arguments", "filter_"),
    [
        (["jobs", "--created-by", "ana"], "created_by"),
        (["jobs", "--cancelled-by", "ana"], "cancelled_by"),
        (["executions", "--created-by", "ana"], "created_by"),
        (["pipelines", "--created-by", "ana"], "created_by"),
        (["pipelines", "list", "--created-by", "ana"], "created_by"),
        (["schedules", "--created-by", "ana"], "created_by"),
        (["schedules", "list", "--created-by", "ana"], "created_by"),
        (["workers", "list", "--drained-by", "ana"], "drained_by"),
    ],
    ids=" ".join,
)
def test_an_option_of_a_list_asks_for_what_one_token_did(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], filter_: str
) -> None:
    client = Recording()

    def show_list(find: Any, _print_all: object, *, as_json: bool) -> NoReturn:
        assert not as_json
        asyncio.run(find(client))
        raise typer.Exit

    for module in (lists, pipelines, schedules, workers):
        monkeypatch.setattr(module, "show_list", show_list)

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert client.filters[filter_] == "ana"
