"""A schedule as it is asked for, and what a change makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.domain.schedule import (
    BadChange,
    NoDueTime,
    Slot,
    Stored,
    changed,
    defined,
    fields_of,
    first_slot,
    revised,
)
from schemas.rest.schedules import ScheduleCreate, SchedulePatch
from schemas.states import ScheduleStatus

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = "01a23a11-ebbb-7001-b54f-bbf0e7c7cbbe"


def stored(status: ScheduleStatus = ScheduleStatus.SCHEDULED, last: datetime | None = None, **body: Any) -> Stored:
    request = ScheduleCreate.model_validate({"command": "true"} | body)
    definition = defined(request, anchor=NOON)
    following = first_slot(definition.timing, ID, after=NOON) if status is ScheduleStatus.SCHEDULED else None
    return Stored(ID, NOON, status, definition, following, last)


def revise(schedule: Stored, moment: datetime = NOON, **patch: Any) -> Stored:
    return revised(schedule, SchedulePatch.model_validate(patch), moment)


RICH: dict[str, Any] = {
    "command": ["tar", "cz", "."],
    "type": "exec",
    "env": {"A": "b"},
    "timeout": 60,
    "retry": {"max_attempts": 3},
    "requires": {"zone": "north"},
    "resources": {"gpu": 1},
    "cron": "30 2 * * *",
    "timezone": "Europe/Madrid",
    "start": NOON,
    "end": NOON + 1000 * HOUR,
    "jitter": 30.0,
    "overlap": "skip",
    "catch_up": "all",
    "catch_up_limit": 7,
    "name": "backup",
    "priority": "high",
    "labels": {"team": "web"},
    "concurrency_key": "db",
    "concurrency": {"limit": 2, "when_full": "reject"},
}


@pytest.mark.parametrize(
    "body",
    [
        RICH,
        {"command": "true", "run_at": NOON},
        {"command": "true"},
        {"pipeline_id": ID, "params": {"n": 1}, "env": {"A": "b"}, "every": 90.0},
        {"job_id": ID, "cron": "@daily"},
    ],
)
def test_a_schedule_is_the_request_that_made_it(body: dict[str, Any]) -> None:
    request = ScheduleCreate.model_validate(body)
    again = ScheduleCreate.model_validate(
        fields_of(Stored(ID, NOON, ScheduleStatus.SCHEDULED, defined(request, anchor=NOON), None, None))
    )

    assert defined(again, anchor=NOON) == defined(request, anchor=NOON)


def test_an_empty_patch_changes_nothing_but_the_time_of_the_change() -> None:
    before = stored(**RICH)

    assert revise(before, NOON + HOUR).definition == before.definition
    assert revise(before, NOON + HOUR).following == before.following


def test_a_new_time_counts_from_now() -> None:
    before = stored(cron="0 * * * *")

    after = revise(before, NOON + HOUR / 2, cron="*/10 * * * *")

    assert after.following == Slot(NOON + HOUR / 2 + timedelta(minutes=10), NOON + HOUR / 2 + timedelta(minutes=10))


def test_an_interval_counts_from_its_change() -> None:
    after = revise(stored(cron="0 * * * *"), NOON + HOUR / 2, every=60)

    assert (after.definition.timing.cron, after.definition.timing.timezone) == (None, None)
    assert after.following is not None
    assert after.following.due_at == NOON + HOUR / 2 + timedelta(minutes=1)


@pytest.mark.parametrize("status", [ScheduleStatus.SCHEDULED, ScheduleStatus.PAUSED])
def test_an_interval_that_is_given_again_goes_on(status: ScheduleStatus) -> None:
    """As by a tool that writes its schedules again and again: more often than the interval, it would never fire."""
    before = stored(status, every=3600)

    after = revise(before, NOON + HOUR / 2, every=3600, jitter=None, command="false")

    assert (after.status, after.following) == (status, before.following)
    assert after.definition.timing == before.definition.timing


def test_a_due_time_that_has_passed_stays_owed_when_its_time_is_given_again() -> None:
    """As when the request comes before the scheduler that fires, after an outage."""
    before = stored(cron="0 * * * *")

    after = revise(before, NOON + 1.5 * HOUR, cron="0 * * * *", timezone="UTC")

    assert after.following == before.following == Slot(NOON + HOUR, NOON + HOUR)


@pytest.mark.parametrize("patch", [{"jitter": 1800}, {"jitter": None}, {"end": NOON + 9 * HOUR}, {"catch_up": "all"}])
def test_a_due_time_that_its_jitter_delays_is_not_lost_by_a_change(patch: dict[str, Any]) -> None:
    before = stored(cron="0 * * * *", jitter=3000)
    assert before.following is not None
    assert before.following.run_at > NOON + HOUR + timedelta(seconds=10)

    after = revise(before, NOON + HOUR + timedelta(seconds=10), **patch)

    assert after.following is not None
    assert after.following.due_at == NOON + HOUR


def test_another_jitter_keeps_the_interval() -> None:
    after = revise(stored(every=3600), NOON + HOUR / 2, jitter=1)

    assert after.following is not None
    assert after.following.due_at == NOON + HOUR


def test_a_changed_schedule_is_due_after_what_was_dealt_with_though_the_clock_went_back() -> None:
    after = revise(stored(every=60, last=NOON + 3 * HOUR), NOON + HOUR, cron="0 * * * *")

    assert after.following is not None
    assert after.following.due_at == NOON + 4 * HOUR


def test_a_resume_goes_by_the_clock_though_it_was_ahead_before() -> None:
    """A day ahead for a moment, the clock would silence a schedule for a day."""
    paused = stored(ScheduleStatus.PAUSED, cron="* * * * *", last=NOON + 24 * HOUR)

    back = revise(paused, NOON + HOUR, paused=False)

    assert back.following is not None
    assert back.following.due_at == NOON + HOUR + timedelta(minutes=1)


def test_a_time_takes_the_place_of_another_with_all_that_belongs_to_it() -> None:
    after = changed(stored(**RICH), SchedulePatch(run_at=NOON + HOUR))

    assert (after.run_at, after.cron, after.timezone, after.overlap, after.catch_up, after.jitter) == (
        NOON + HOUR,
        *[None] * 5,
    )


def test_a_target_takes_the_place_of_another_with_all_that_belongs_to_it() -> None:
    after = changed(stored(**RICH), SchedulePatch(pipeline_id=ID))

    assert (after.pipeline_id, after.command, after.timeout, after.requires) == (ID, None, None, None)
    assert (after.env, after.cron) == ({"A": "b"}, "30 2 * * *")
    back = changed(stored(pipeline_id=ID, command=None, params={"a": 1}), SchedulePatch(command="true"))
    assert (back.command, back.params) == ("true", {})


def test_null_is_the_default() -> None:
    after = revise(stored(**RICH), overlap=None, catch_up=None, name=None, env=None, jitter=None, concurrency=None)

    target = after.definition.target
    assert (target.overlap, target.name, target.concurrency) == (None, None, None)
    assert target.command is not None
    assert target.command.env == {}
    assert (after.definition.catch_up, after.definition.catch_up_limit) == ("last", None)


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"cron": "@daily", "every": 5}, "every"),
        ({"end": NOON - HOUR}, "end"),
        ({"catch_up_limit": 5, "catch_up": "last"}, "catch_up_limit"),
        ({"run_at": NOON, "overlap": "skip"}, "overlap"),
    ],
)
def test_a_change_that_is_not_valid_names_its_field(patch: dict[str, Any], field: str) -> None:
    with pytest.raises(BadChange) as error:
        revise(stored(**RICH), **patch)

    assert error.value.cause.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    ("patch", "field"),
    [({"cron": None}, "cron"), ({"end": NOON + HOUR}, "end"), ({"cron": None, "timezone": None}, "cron")],
)
def test_a_change_after_which_nothing_is_due_is_refused(patch: dict[str, Any], field: str) -> None:
    with pytest.raises(NoDueTime) as error:
        revise(stored(**RICH | {"cron": "0 0 1 1 *", "end": NOON + 10_000 * HOUR}), NOON + 2 * HOUR, **patch)

    assert error.value.field == field


def test_a_pause_skips_and_a_resume_goes_on_after_now() -> None:
    paused = revise(stored(cron="0 * * * *"), paused=True)
    assert (paused.status, paused.following) == (ScheduleStatus.PAUSED, None)

    still = revise(paused, NOON + HOUR, every=60)
    assert (still.status, still.following) == (ScheduleStatus.PAUSED, None)

    back = revise(paused, NOON + 10.5 * HOUR, paused=False)
    assert back.status is ScheduleStatus.SCHEDULED
    assert back.following is not None
    assert back.following.due_at == NOON + 11 * HOUR


def test_a_schedule_whose_end_passed_during_a_pause_can_be_changed_but_not_resumed() -> None:
    paused = stored(ScheduleStatus.PAUSED, every=60, end=NOON + HOUR)

    renamed = revise(paused, NOON + 2 * HOUR, name="other")
    assert (renamed.status, renamed.following) == (ScheduleStatus.PAUSED, None)
    with pytest.raises(NoDueTime) as error:
        revise(paused, NOON + 2 * HOUR, paused=False)
    assert error.value.field is None
    with pytest.raises(NoDueTime) as error:
        revise(paused, NOON + 2 * HOUR, paused=False, end=NOON + HOUR)
    assert error.value.field == "end"
    back = revise(paused, NOON + 2 * HOUR, paused=False, end=NOON + 3 * HOUR)
    assert back.following is not None
    assert back.following.due_at == NOON + 2 * HOUR + timedelta(minutes=1)


def test_a_time_that_passed_during_a_pause_fires_after_it() -> None:
    paused = revise(stored(run_at=NOON + HOUR), paused=True)

    back = revise(paused, NOON + 2 * HOUR, paused=False)

    assert back.following == Slot(NOON + HOUR, NOON + HOUR)


def test_a_schedule_that_has_fired_comes_back_with_a_new_time_only() -> None:
    over = stored(ScheduleStatus.COMPLETED, run_at=NOON, last=NOON)

    assert revise(over, name="other").status is ScheduleStatus.COMPLETED
    again = revise(over, run_at=NOON + HOUR)
    assert (again.status, again.following) == (ScheduleStatus.SCHEDULED, Slot(NOON + HOUR, NOON + HOUR))
    with pytest.raises(NoDueTime) as error:
        revise(over, run_at=NOON - HOUR)
    assert error.value.field == "run_at"
    with pytest.raises(NoDueTime) as error:
        revise(over, paused=False)
    assert error.value.field is None


def test_a_failed_schedule_comes_back_when_what_it_runs_changes() -> None:
    failed = stored(ScheduleStatus.FAILED, cron="0 * * * *", last=NOON)

    assert revise(failed, NOON + HOUR, name="other").status is ScheduleStatus.FAILED
    for patch in ({"command": "false"}, {"cron": "0 * * * *"}, {"paused": False}):
        back = revise(failed, NOON + HOUR, **patch)
        assert (back.status, back.following and back.following.due_at) == (ScheduleStatus.SCHEDULED, NOON + 2 * HOUR)
