"""Schedules that fire again and again, over HTTP: made, changed, paused, resumed, triggered, and their history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events import (
    JobTarget,
    ScheduleCompleted,
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleFailed,
    ScheduleFinished,
    ScheduleFired,
    SchedulePaused,
    ScheduleRefused,
    ScheduleResumed,
    ScheduleUpdated,
)
from schemas.model import rfc3339
from schemas.questions import TARGET, TargetAnswer, TargetQuestion
from schemas.refusals import RefusalReason
from schemas.rest.schedules import Firing, NextTime, Schedule
from schemas.states import FiringKind, FiringOutcome, JobStatus, Reason, ScheduleStatus
from shared.bus import Answering, answer, questions_asked
from shared.ids import new_id
from shared.telemetry import Metrics
from tests.integration.scheduler.conftest import DEADLINE, House, Opener

DAILY = {"command": "true", "cron": "30 2 * * *", "timezone": "Europe/Madrid"}
HOUR = timedelta(hours=1)


async def make(house: House, **body: Any) -> Schedule:
    return Schedule.model_validate(await house.post("/api/v1/schedule", {"command": "true"} | body, 201))


async def shown(house: House, id: str) -> Schedule:
    return Schedule.model_validate(await house.get(f"/api/v1/scheduled/{id}"))


async def history(house: House, id: str) -> list[Firing]:
    found = await house.get(f"/api/v1/scheduled/{id}/history")
    assert isinstance(found, list)
    return [Firing.model_validate(one) for one in found]


async def until(house: House, id: str, outcome: FiringOutcome) -> Firing:
    """The newest firing, once it has come to this outcome."""
    async with asyncio.timeout(DEADLINE):
        while True:
            newest = next(iter(await history(house, id)), None)
            if newest is not None and newest.outcome is outcome:
                return newest


async def until_status(house: House, id: str, status: ScheduleStatus) -> Schedule:
    async with asyncio.timeout(DEADLINE):
        while (found := await shown(house, id)).status is not status:
            pass
        return found


async def trigger(house: House, id: str, **headers: str) -> Firing:
    return Firing.model_validate(await house.post(f"/api/v1/scheduled/{id}/trigger", None, 202, **headers))


@asynccontextmanager
async def orchestrator(house: House, *answers: TargetAnswer) -> AsyncIterator[list[JobTarget]]:
    """Answers about targets, one after the other. The list has what was asked."""
    asked: list[JobTarget] = []
    left = list(answers)

    async def reply(question: TargetQuestion) -> TargetAnswer:
        asked.append(question.target)
        return left.pop(0)

    answering = Answering(house.bus, questions_asked(Metrics()), [answer(TARGET, reply)])
    await answering.start()
    await house.bus.flush()
    try:
        yield asked
    finally:
        await answering.stop()


# ------------------------------------------------------------------ made


async def test_a_schedule_with_a_cron_line_is_shown_with_all_its_fields(house: Opener) -> None:
    here = await house()
    found = await make(
        here,
        **DAILY,
        name="backup",
        env={"API_TOKEN": "x", "A": "b"},
        labels={"team": "web"},
        priority="high",
        overlap="skip",
        catch_up="all",
        jitter=30,
        start="2026-01-01T00:00:00Z",
        end="2200-01-01T00:00:00Z",
        concurrency_key="db",
        concurrency={"limit": 2},
    )
    assert found == await shown(here, found.id)
    assert (found.status, found.cron, found.timezone, found.every) == ("scheduled", "30 2 * * *", "Europe/Madrid", None)
    assert found.description is not None
    assert "02:30" in found.description
    assert (found.overlap, found.catch_up, found.catch_up_limit, found.jitter) == ("skip", "all", 100, 30)
    assert (found.priority, found.labels, found.env) == ("high", {"team": "web"}, {"API_TOKEN": "***", "A": "b"})
    assert (found.concurrency_key, found.concurrency and found.concurrency.limit) == ("db", 2)
    assert found.next_run_at is not None
    assert datetime.now(UTC) < found.next_run_at
    [created] = await here.ears.wait(ScheduleCreated)
    assert (created.target.overlap, created.target.concurrency_key, created.next_run_at) == (
        "skip",
        "db",
        found.next_run_at,
    )


async def test_what_a_schedule_does_not_say_has_defaults(house: Opener) -> None:
    here = await house()
    recurring, once = await make(here, every=3600), await make(here, run_at="2200-01-01T00:00:00Z")
    assert (recurring.overlap, recurring.catch_up, recurring.catch_up_limit, recurring.jitter) == (
        "allow",
        "last",
        None,
        0,
    )
    assert (recurring.every, recurring.timezone, recurring.description) == (3600, None, "Every hour")
    assert recurring.next_run_at == recurring.created_at + HOUR
    assert (once.overlap, once.catch_up, once.jitter, once.description) == (None, None, None, None)
    assert (await make(here, cron="@daily")).timezone == "UTC"


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"cron": "0 0 * * *", "timezone": "Europe/Madird"}, "timezone", "did you mean Europe/Madrid"),
        ({"cron": "0 0 0 * * *"}, "cron", "6 fields"),
        ({"cron": "0 0 30 2 *"}, "cron", "never comes due"),
        ({"cron": "61 * * * *"}, "cron", "61 is not a minute"),
        ({"cron": "@reboot"}, "cron", "@reboot"),
        ({"cron": "@daily", "start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}, "end", "later than start"),
        ({"cron": "@daily", "end": "2020-01-01T00:00:00Z"}, "end", "never fire"),
        ({"overlap": "skip"}, "overlap", "needs cron or every"),
        ({"run_at": "2030-01-02T00:00:00Z", "overlap": "allow"}, "overlap", "needs cron or every"),
        ({"every": 60, "catch_up": "all", "catch_up_limit": 10**9}, "catch_up_limit", "1000"),
        ({"every": 60, "catch_up_limit": 5, "catch_up": "last"}, "catch_up_limit", "catch_up: all"),
        ({"every": 0.5}, "every", "1"),
        ({"every": 60, "jitter": 60}, "jitter", "less than every"),
        ({"every": 60, "cron": "@daily"}, "every", "one of run_at, cron and every"),
        ({"run_at": "2030-01-02T00:00:00Z", "cron": "@daily"}, "cron", "one of run_at, cron and every"),
        ({"every": 60, "timezone": "UTC"}, "timezone", "belongs to cron"),
        ({"paused": True}, "paused", "needs a time"),
        ({"every": 60, "concurrency_key": "x" * 10_000}, "concurrency_key", "1000"),
    ],
)
async def test_a_schedule_that_is_not_valid_names_its_field(
    house: Opener, body: dict[str, Any], field: str, says: str
) -> None:
    here = await house()
    problem: Any = await here.post("/api/v1/schedule", {"command": "true"} | body, 422)
    assert [error["loc"] for error in problem["errors"]] == [["body", field]]
    assert says in problem["errors"][0]["msg"]
    assert await here.get("/api/v1/scheduled") == []


# ------------------------------------------------------------------ fires


async def test_an_interval_fires_again_and_again(house: Opener) -> None:
    here = await house()
    made = await make(here, every=1)
    fired = await here.ears.wait(ScheduleFired, 2)
    assert [one.due_at for one in fired[:2]] == [made.created_at + timedelta(seconds=count) for count in (1, 2)]
    assert len({one.job_id for one in fired}) == len(fired)
    found = await shown(here, made.id)
    assert found.status == "scheduled"
    assert found.last_job_id in {one.job_id for one in here.ears.of(ScheduleFired)}


async def test_a_schedule_is_completed_after_its_last_due_time(house: Opener) -> None:
    here = await house()
    made = await make(here, every=1, end=rfc3339(datetime.now(UTC) + timedelta(seconds=1.9)))
    await here.ears.wait(ScheduleCompleted)
    await here.ears.wait(ScheduleFired)  # events of different types come in any order
    assert len(here.ears.of(ScheduleFired)) == 1
    found = await shown(here, made.id)
    assert (found.status, found.next_run_at) == ("completed", None)
    await here.post(f"/api/v1/scheduled/{made.id}/pause", None, 409)
    await here.post(f"/api/v1/scheduled/{made.id}/resume", None, 409)
    assert await here.get(f"/api/v1/scheduled/{made.id}/next") == []


async def test_history_has_how_each_job_ended(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    firing = await trigger(here, made.id)
    assert (firing.kind, firing.outcome, firing.schedule_id) == (FiringKind.TRIGGER, FiringOutcome.FIRED, made.id)
    [fired] = await here.ears.wait(ScheduleFired)
    assert (fired.job_id, fired.due_at, fired.kind) == (firing.job_id, firing.due_at, FiringKind.TRIGGER)
    moment = datetime.now(UTC)
    await here.say(ScheduleConfirmed(schedule_id=made.id, job_id=fired.job_id))
    over = ScheduleFinished(
        schedule_id=made.id,
        job_id=fired.job_id,
        status=JobStatus.FAILED,
        reason=Reason.EXIT_CODE,
        finished_at=moment,
    )
    await here.say(over)
    ended = await until(here, made.id, FiringOutcome.FAILED)
    assert (ended.reason, ended.job_id, ended.finished_at) == ("exit_code", fired.job_id, moment)
    await here.say(over.model_copy(update={"status": JobStatus.SUCCEEDED}))  # an outcome does not change
    await here.say(
        ScheduleRefused(schedule_id=made.id, job_id=fired.job_id, reason=RefusalReason.INVALID, detail="late")
    )
    await trigger(here, made.id)
    assert [one.outcome for one in await history(here, made.id)] == [FiringOutcome.FIRED, FiringOutcome.FAILED]
    assert (await shown(here, made.id)).next_run_at == made.next_run_at


async def test_history_has_the_last_hundred_firings_in_pages(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    ids = []
    for _ in range(103):
        firing = await trigger(here, made.id)
        ids.append(firing.id)
    finished = [
        ScheduleFinished(schedule_id=made.id, job_id=id, status=JobStatus.SUCCEEDED, finished_at=datetime.now(UTC))
        for id in ids
    ]
    await here.say(*finished)
    await until(here, made.id, FiringOutcome.SUCCEEDED)
    ids.append((await trigger(here, made.id)).id)
    found: list[str] = []
    following: str | None = f"/api/v1/scheduled/{made.id}/history?limit=40"
    while following is not None:
        async with here.http.get(here.url + following) as page:
            found += [one["id"] for one in await page.json()]
            following = page.links["next"]["url"].raw_path_qs if "next" in page.links else None
    assert found == ids[:-101:-1]


async def test_the_same_key_triggers_once(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    first = await trigger(here, made.id, **{"Idempotency-Key": "k"})
    assert await trigger(here, made.id, **{"Idempotency-Key": "k"}) == first
    assert len(await history(here, made.id)) == 1


async def test_a_removed_schedule_takes_its_history_with_it(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    await trigger(here, made.id)
    await here.delete(f"/api/v1/scheduled/{made.id}")
    for path in ("", "/history", "/next"):
        await here.get(f"/api/v1/scheduled/{made.id}{path}", 404)
    for verb in ("pause", "resume", "trigger"):
        await here.post(f"/api/v1/scheduled/{made.id}/{verb}", None, 404)
    await here.patch(f"/api/v1/scheduled/{made.id}", {"name": "x"}, 404)
    assert await here.database.fetch_value("select count(*) from firings") == 0


# ------------------------------------------------------------------ refused


async def refuse(house: House, id: str, job_id: str, reason: RefusalReason) -> None:
    await house.say(ScheduleRefused(schedule_id=id, job_id=job_id, reason=reason, detail=f"because {reason}"))


async def test_a_firing_is_skipped_while_the_former_job_runs(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY, overlap="skip")
    running, skipped = await trigger(here, made.id), await trigger(here, made.id)
    assert skipped.job_id is not None
    await refuse(here, made.id, skipped.job_id, RefusalReason.OVERLAP)
    found = await until(here, made.id, FiringOutcome.SKIPPED)
    assert (found.reason, found.detail, found.job_id) == ("overlap", "because overlap", None)
    after = await shown(here, made.id)
    assert (after.status, after.last_error, after.last_job_id) == ("scheduled", None, running.job_id)


async def test_a_schedule_whose_parameters_are_refused_fires_on(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    firing = await trigger(here, made.id)
    assert firing.job_id is not None
    await refuse(here, made.id, firing.job_id, RefusalReason.INVALID)
    assert (await until(here, made.id, FiringOutcome.REFUSED)).reason == "invalid"
    after = await shown(here, made.id)
    assert (after.status, after.last_error, after.last_job_id) == ("scheduled", "because invalid", None)
    assert after.next_run_at == made.next_run_at


async def test_a_schedule_that_fires_once_is_ordered_again_until_there_is_room_for_its_job(house: Opener) -> None:
    here = await house(lease=1)
    made = await make(here)
    [fired] = await here.ears.wait(ScheduleFired)
    await refuse(here, made.id, fired.job_id, RefusalReason.OVERLOADED)
    again = (await here.ears.wait(ScheduleFired, 2))[1]
    assert again == fired
    await here.say(ScheduleConfirmed(schedule_id=made.id, job_id=fired.job_id))
    found = await shown(here, made.id)
    assert (found.status, found.last_error, found.last_job_id) == ("completed", None, fired.job_id)


async def test_a_schedule_that_recurs_goes_on_where_there_was_no_room(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    firing = await trigger(here, made.id)
    assert firing.job_id is not None
    await refuse(here, made.id, firing.job_id, RefusalReason.OVERLOADED)
    assert (await until(here, made.id, FiringOutcome.REFUSED)).reason == "overloaded"
    after = await shown(here, made.id)
    assert (after.status, after.last_error, after.next_run_at) == ("scheduled", "because overloaded", made.next_run_at)


@pytest.mark.parametrize("reason", [RefusalReason.NOT_FOUND, RefusalReason.CONFLICT])
async def test_a_schedule_whose_target_is_gone_fails_and_comes_back_when_it_is_resumed(
    house: Opener, reason: RefusalReason
) -> None:
    here = await house()
    made = await make(here, **DAILY)
    firing = await trigger(here, made.id)
    assert firing.job_id is not None
    await refuse(here, made.id, firing.job_id, reason)
    failed = await until_status(here, made.id, ScheduleStatus.FAILED)
    assert (failed.next_run_at, failed.last_error) == (None, f"because {reason}")
    [event] = await here.ears.wait(ScheduleFailed)
    assert (event.schedule_id, event.detail) == (made.id, f"because {reason}")
    back = Schedule.model_validate(await here.post(f"/api/v1/scheduled/{made.id}/resume", None, 200))
    assert (back.status, back.next_run_at, back.last_error) == ("scheduled", made.next_run_at, None)
    await here.ears.wait(ScheduleResumed)
    # What is said of a firing from before does not fail it again.
    await here.database.execute("update firings set outcome = 'fired'")
    await refuse(here, made.id, firing.job_id, reason)
    await until(here, made.id, FiringOutcome.REFUSED)
    assert (await shown(here, made.id)).status == "scheduled"


# ------------------------------------------------------------------ changed


async def test_a_change_of_its_time_counts_from_now(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    found = Schedule.model_validate(await here.patch(f"/api/v1/scheduled/{made.id}", {"every": 3600, "name": "hourly"}))
    assert (found.cron, found.timezone, found.every, found.name, found.description) == (
        None,
        None,
        3600,
        "hourly",
        "Every hour",
    )
    assert found.next_run_at is not None
    assert HOUR - timedelta(seconds=DEADLINE) < found.next_run_at - datetime.now(UTC) <= HOUR
    [event] = await here.ears.wait(ScheduleUpdated)
    assert (event.changed, event.next_run_at) == (["every", "name"], found.next_run_at)


async def test_a_change_that_makes_it_due_earlier_wakes_the_leader(house: Opener) -> None:
    here = await house()
    made = await make(here, run_at="2200-01-01T00:00:00Z")
    await here.patch(f"/api/v1/scheduled/{made.id}", {"every": 1, "command": "false"})
    [fired] = await here.ears.wait(ScheduleFired)
    assert fired.target.command is not None
    assert fired.target.command.command == "false"


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"timezone": "Mars"}, "timezone"),
        ({"cron": None}, "cron"),
        ({"end": "2020-01-01T00:00:00Z"}, "end"),
        ({"jitter": 90_000}, "jitter"),
        ({"run_at": "2100-01-01T00:00:00Z", "overlap": "skip"}, "overlap"),
        ({"nmae": "x"}, "nmae"),
        ({"pipeline_id": new_id(), "timeout": 5}, ""),
    ],
)
async def test_a_change_that_is_not_valid_changes_nothing(house: Opener, patch: dict[str, Any], field: str) -> None:
    here = await house()
    made = await make(here, **DAILY)
    problem = await here.patch(f"/api/v1/scheduled/{made.id}", patch, 422)
    assert problem["errors"][0]["loc"] == (["body", field] if field else ["body"])
    assert await shown(here, made.id) == made


async def test_a_changed_target_must_exist(house: Opener) -> None:
    here = await house()
    made, id = await make(here, **DAILY), new_id()
    path = f"/api/v1/scheduled/{made.id}"
    no = TargetAnswer(reason=RefusalReason.NOT_FOUND, detail="no")
    async with orchestrator(here, no, TargetAnswer()) as asked:
        assert id in (await here.patch(path, {"pipeline_id": id}, 404))["detail"]
        assert await shown(here, made.id) == made
        found = Schedule.model_validate(await here.patch(path, {"pipeline_id": id, "params": {"n": 1}}))
    assert [one.params for one in asked] == [{}, {"n": 1}]
    assert (found.pipeline_id, found.command, found.params, found.next_run_at) == (id, None, {"n": 1}, made.next_run_at)
    await here.patch(path, {"job_id": "nonsense"}, 404)


@pytest.mark.parametrize("fired", [False, True])
async def test_a_target_about_which_there_is_no_answer_is_told_to_the_orchestrator(house: Opener, fired: bool) -> None:
    here = await house(lease=1)
    made, id = await make(here, **DAILY), new_id()
    firing = await trigger(here, made.id) if fired else None
    await here.say(ScheduleConfirmed(schedule_id=made.id, job_id=firing and firing.job_id))
    async with asyncio.timeout(DEADLINE):
        while not await here.database.fetch_value("select heard_at is not null from schedules"):
            pass
    await here.patch(f"/api/v1/scheduled/{made.id}", {"pipeline_id": id})
    await here.ears.wait(ScheduleCreated, where=lambda one: one.target.pipeline_id == id)
    await here.say(ScheduleRefused(schedule_id=made.id, reason=RefusalReason.NOT_FOUND, detail="no such pipeline"))
    assert (await until_status(here, made.id, ScheduleStatus.FAILED)).last_error == "no such pipeline"


async def test_a_paused_schedule_does_not_fire_but_on_request(house: Opener) -> None:
    here = await house()
    made = await make(here, every=1, paused=True)
    assert (made.status, made.next_run_at) == ("paused", None)
    firing = await trigger(here, made.id)
    [fired] = await here.ears.wait(ScheduleFired)
    assert fired.job_id == firing.job_id
    upcoming = await here.get(f"/api/v1/scheduled/{made.id}/next?count=1")
    assert isinstance(upcoming, list)
    assert len(upcoming) == 1
    assert (await shown(here, made.id)).status == "paused"
    resumed = Schedule.model_validate(await here.post(f"/api/v1/scheduled/{made.id}/resume", None, 200))
    assert resumed.next_run_at is not None
    assert resumed.next_run_at > datetime.now(UTC) - timedelta(seconds=1)
    await here.ears.wait(ScheduleFired, where=lambda one: one.kind is FiringKind.TIME)
    assert [one.outcome for one in await history(here, made.id)].count(FiringOutcome.MISSED) == 0


async def test_pause_and_resume_may_be_repeated(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY)
    for verb, status in (("pause", "paused"), ("pause", "paused"), ("resume", "scheduled"), ("resume", "scheduled")):
        assert (await here.post(f"/api/v1/scheduled/{made.id}/{verb}", None, 200))["status"] == status
    await here.patch(f"/api/v1/scheduled/{made.id}", {"paused": True, "name": "x"})
    await here.ears.wait(ScheduleUpdated)
    assert (len(await here.ears.wait(SchedulePaused, 2)), len(here.ears.of(ScheduleResumed))) == (2, 1)


async def test_the_next_times_are_told_in_utc_and_in_the_zone(house: Opener) -> None:
    here = await house()
    made = await make(here, **DAILY, start="2030-03-30T00:00:00Z")
    found = await here.get(f"/api/v1/scheduled/{made.id}/next?count=3")
    assert isinstance(found, list)
    assert [NextTime.model_validate(one).local for one in found] == [
        "2030-03-30T02:30:00+01:00",
        "2030-03-31T03:00:00+02:00",  # the hour from 2 to 3 is left out
        "2030-04-01T02:30:00+02:00",
    ]
    assert found[1]["utc"] == "2030-03-31T01:00:00.000000Z"
    once = await make(here, run_at="2200-01-01T00:00:00Z")
    assert len(await here.get(f"/api/v1/scheduled/{once.id}/next")) == 1  # type: ignore[arg-type]
    await here.get(f"/api/v1/scheduled/{made.id}/next?count=101", 422)
