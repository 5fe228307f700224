"""What a schedule owes when it is due: in time, a little late, after an outage, and with a clock that jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.domain.firing import LATE, MOST_COUNTED, Due, Missed, plan
from scheduler.domain.recurrence import Recurrence
from schemas.rest.schedules import CatchUp
from schemas.states import FiringKind

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def every_minute(**changes: Any) -> Recurrence:
    return Recurrence("s", NOON, **({"cron": "* * * * *"} | changes))


def due(minutes: int, kind: FiringKind = FiringKind.TIME) -> Due:
    return Due(NOON + minutes * MINUTE, kind)


def test_in_time_the_schedule_fires_once_and_is_due_again_later() -> None:
    found = plan(every_minute(), NOON, NOON + SECOND, catch_up="last", limit=100)

    assert (found.fires, found.missed) == ([due(0)], None)
    assert (found.last, found.following) == (NOON, NOON + MINUTE)


def test_what_is_a_little_late_fires_by_itself_each_due_time_once() -> None:
    times = Recurrence("s", NOON, every=timedelta(seconds=5))

    found = plan(times, NOON + 5 * SECOND, NOON + 21 * SECOND, catch_up="none", limit=100)

    assert [one.at - NOON for one in found.fires] == [5 * SECOND * count for count in (2, 3, 4)]
    assert found.missed == Missed(1, NOON + 5 * SECOND, NOON + 5 * SECOND)
    assert found.following == NOON + 25 * SECOND


@pytest.mark.parametrize(
    ("catch_up", "fires", "missed"),
    [
        ("none", [], Missed(10, NOON, NOON + 9 * MINUTE)),
        ("last", [9], Missed(9, NOON, NOON + 8 * MINUTE)),
        ("all", [6, 7, 8, 9], Missed(6, NOON, NOON + 5 * MINUTE)),
    ],
)
def test_an_outage_is_caught_up_on_as_the_schedule_asks(catch_up: CatchUp, fires: list[int], missed: Missed) -> None:
    found = plan(every_minute(), NOON, NOON + 10 * MINUTE + SECOND, catch_up=catch_up, limit=4)

    assert found.fires == [*(due(one, FiringKind.CATCH_UP) for one in fires), due(10)]
    assert found.missed == missed
    assert (found.last, found.following) == (NOON + 10 * MINUTE, NOON + 11 * MINUTE)


def test_nothing_is_missed_where_all_of_it_is_within_the_limit() -> None:
    found = plan(every_minute(), NOON, NOON + 3 * MINUTE + SECOND, catch_up="all", limit=1000)

    assert [one.at for one in found.fires] == [NOON + count * MINUTE for count in range(4)]
    assert found.missed is None


def test_a_very_long_outage_is_looked_at_up_to_a_limit() -> None:
    found = plan(every_minute(), NOON, NOON + timedelta(days=365), catch_up="all", limit=10)

    assert found.looked_at == MOST_COUNTED
    assert found.missed is not None
    assert (found.missed.first, found.missed.more) == (NOON, True)
    assert len(found.fires) == 11


def test_the_last_due_time_is_followed_by_none() -> None:
    found = plan(every_minute(end=NOON + MINUTE), NOON + MINUTE, NOON + 2 * MINUTE, catch_up="last", limit=1)

    assert (found.fires, found.following) == ([due(1, FiringKind.CATCH_UP)], None)


def test_a_due_time_whose_delay_is_not_over_does_not_fire_yet() -> None:
    times = every_minute(jitter=timedelta(seconds=59))
    moment = NOON + 2 * MINUTE  # due just now, and delayed

    assert times.fires_at(NOON + 2 * MINUTE) > moment
    found = plan(times, NOON + MINUTE, moment, catch_up="all", limit=100)

    assert found.last == NOON + MINUTE
    assert found.following == NOON + 2 * MINUTE


@given(
    step=st.integers(1, 3600),
    jitter=st.integers(0, 3600),
    outages=st.lists(st.integers(0, 20_000), min_size=1, max_size=8),
    catch_up=st.sampled_from(["none", "last", "all"]),
    limit=st.integers(1, 50),
)
def test_every_due_time_is_dealt_with_exactly_once_whenever_the_scheduler_looks(
    step: int, jitter: int, outages: list[int], catch_up: CatchUp, limit: int
) -> None:
    """Fired or missed, in order, whatever the pauses between two looks, also when the clock jumps back."""
    every, delay = timedelta(seconds=step), timedelta(seconds=min(jitter, step - 1))
    times = Recurrence("s", NOON, every=every, jitter=delay)
    first, moment, dealt = NOON + every, NOON, []
    for at, pause in enumerate(outages):
        moment += timedelta(seconds=pause if at % 3 else -pause / 10)
        if times.fires_at(first) > moment:
            continue
        found = plan(times, first, moment, catch_up=catch_up, limit=limit)
        fires = [one.at for one in found.fires]
        if found.missed is not None:
            if found.missed.more:
                return
            gone = [found.missed.first + count * every for count in range(found.missed.count)]
            assert gone[-1] == found.missed.last
            assert moment - times.fires_at(found.missed.last) > LATE
            dealt += gone
        dealt += fires
        assert all(times.fires_at(one) <= moment for one in fires)
        assert found.following is not None
        assert times.fires_at(found.following) > moment
        first = found.following

    assert dealt == [NOON + every * count for count in range(1, len(dealt) + 1)]
