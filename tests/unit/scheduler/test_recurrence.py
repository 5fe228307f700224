"""When schedules are due, held against a search minute by minute that knows nothing of cronsim."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler.domain.recurrence import Recurrence, words

MINUTE, TICK = timedelta(minutes=1), timedelta(microseconds=1)
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)

CHANGES = {
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],  # by half an hour
    "America/St_Johns": ["2009-03-08T03:31", "2009-11-01T02:31"],  # a minute after midnight
    "Africa/Cairo": ["2026-04-23T22:00", "2026-10-29T21:00"],  # at midnight
    "America/Sao_Paulo": ["2018-11-04T03:00", "2018-02-18T02:00"],
    "Pacific/Apia": ["2011-12-30T10:00"],  # a day left out
    "Asia/Kolkata": ["2026-06-01T00:00"],  # never
    "UTC": ["2026-03-29T01:00"],
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def of(line: str, zone: str = "UTC", **fields: object) -> Recurrence:
    return Recurrence(id="s", origin=ORIGIN, cron=line, zone=zone, **fields)  # type: ignore[arg-type]  # by name


def walk(recurrence: Recurrence, since: datetime, until: datetime) -> list[datetime]:
    """The due times after a moment, one after the other."""
    found: list[datetime] = []
    due = recurrence.after(since)
    while due is not None and due <= until:
        found.append(due)
        due = recurrence.after(due)
    return found


def local(moments: list[datetime], zone: str) -> list[str]:
    return [one.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for one in moments]


@dataclass(frozen=True)
class Line:
    """A cron line with the sets that it stands for."""

    text: str
    fixed: bool
    matches: Callable[[datetime], bool]


@st.composite
def lines(draw: st.DrawFn) -> Line:
    def one(low: int, high: int) -> tuple[str, set[int], bool]:
        kind = draw(st.sampled_from(["star", "step", "list", "range"]))
        if kind == "star":
            return "*", set(range(low, high + 1)), True
        if kind == "step":
            step = draw(st.integers(2, (high - low) // 2))
            return f"*/{step}", set(range(low, high + 1, step)), True
        if kind == "range":
            first = draw(st.integers(low, high - 1))
            last = draw(st.integers(first + 1, high))
            return f"{first}-{last}", set(range(first, last + 1)), False
        values = draw(st.lists(st.integers(low, high), min_size=1, max_size=4))
        return ",".join(map(str, values)), set(values), False

    minute, minutes, some_minute = one(0, 59)
    hour, hours, some_hour = one(0, 23)
    day, days, some_day = draw(st.sampled_from([("*", set(range(1, 32)), True), one(1, 31)]))
    weekday, weekdays, some_weekday = draw(st.sampled_from([("*", set(range(8)), True), one(0, 7)]))

    def matches(wall: datetime) -> bool:
        by_date, by_weekday = wall.day in days, bool({wall.isoweekday(), wall.isoweekday() % 7} & weekdays)
        right_day = by_date and by_weekday if some_day or some_weekday else by_date or by_weekday
        return wall.minute in minutes and wall.hour in hours and right_day

    return Line(f"{minute} {hour} {day} * {weekday}", not some_minute and not some_hour, matches)


def minute_by_minute(line: Line, zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """The due times after `since`, up to `until`: every minute is looked at, on the wall clock or in UTC."""
    if not line.fixed:
        count = int((until - since) / MINUTE)
        moments = (since + MINUTE * number for number in range(1, count + 1))
        return [one for one in moments if line.matches(one.astimezone(zone))]
    found = set()
    wall = (since - timedelta(days=2)).replace(tzinfo=None)
    while wall < (until + timedelta(days=2)).replace(tzinfo=None):
        if line.matches(wall):
            due = wall
            while due.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != due:
                due += MINUTE
            found.add(due.replace(tzinfo=zone).astimezone(UTC))
        wall += MINUTE
    return sorted(one for one in found if since < one <= until)


CHANGE = st.sampled_from([(zone, utc(change)) for zone, changes in CHANGES.items() for change in changes])


@given(line=lines(), change=CHANGE, before=st.integers(1, 1500), hours=st.integers(1, 30))
def test_due_times_are_those_of_a_search_minute_by_minute(
    line: Line, change: tuple[str, datetime], before: int, hours: int
) -> None:
    zone, moment = change
    since = moment - before * MINUTE
    until = since + timedelta(hours=hours)
    recurrence = of(line.text, zone)
    expected = minute_by_minute(line, ZoneInfo(zone), since, until)

    assert walk(recurrence, since, until) == expected
    assert list(recurrence.last(10_000, until=until, since=since)) == expected


@given(line=lines(), change=CHANGE, offset=st.integers(-(10**8), 10**8), size=st.integers(1, 50))
def test_backwards_and_forwards_are_the_same(line: Line, change: tuple[str, datetime], offset: int, size: int) -> None:
    zone, moment = change
    until = moment + timedelta(milliseconds=offset)
    recurrence = of(line.text, zone)

    newest = list(recurrence.last(size, until=until, since=ORIGIN - timedelta(days=20_000)))

    assume(newest)
    assert walk(recurrence, newest[0] - TICK, until) == newest
    assert recurrence.before(newest[-1] + TICK) == newest[-1]
    assert all(one.second == one.microsecond == 0 for one in newest)


@given(line=lines(), offset=st.integers(0, 10**9))
def test_without_daylight_saving_due_times_are_those_of_cronsim(line: Line, offset: int) -> None:
    moment = ORIGIN + timedelta(seconds=offset)

    assert of(line.text).after(moment) == next(CronSim(line.text, moment))


def test_a_time_in_the_hour_that_is_left_out_comes_due_once_when_that_hour_would_have_ended() -> None:
    night = utc("2026-03-28T12:00"), utc("2026-03-30T12:00")

    assert local(walk(of("0,30 2 * * *", "Europe/Berlin"), *night), "Europe/Berlin") == [
        "29 03:00 +0200",
        "30 02:00 +0200",
        "30 02:30 +0200",
    ]


def test_a_time_in_the_hour_that_comes_twice_comes_due_the_first_time() -> None:
    night = utc("2026-10-24T12:00"), utc("2026-10-26T00:00")

    assert local(walk(of("30 2 * * *", "Europe/Berlin"), *night), "Europe/Berlin") == ["25 02:30 +0200"]
    second = utc("2026-10-25T01:10")  # 02:10 for the second time
    assert of("30 2 * * *", "Europe/Berlin").after(second) == utc("2026-10-26T01:30")
    assert of("30 2 * * *", "Europe/Berlin").before(second) == utc("2026-10-25T00:30")


def test_a_line_that_recurs_within_hours_goes_by_the_clock() -> None:
    spring = utc("2026-03-29T00:00"), utc("2026-03-29T02:00")
    autumn = utc("2026-10-24T23:30"), utc("2026-10-25T02:00")

    assert local(walk(of("0 * * * *", "Europe/Berlin"), *spring), "Europe/Berlin") == [
        "29 03:00 +0200",
        "29 04:00 +0200",
    ]
    assert local(walk(of("0 * * * *", "Europe/Berlin"), *autumn), "Europe/Berlin") == [
        "25 02:00 +0200",
        "25 02:00 +0100",
        "25 03:00 +0100",
    ]
    assert walk(of("*/20 2 * * *", "Europe/Berlin"), *spring) == []


def test_half_an_hour_of_daylight_saving() -> None:
    zone = "Australia/Lord_Howe"
    autumn = utc("2026-04-04T12:00"), utc("2026-04-04T16:00")  # 2:00 becomes 1:30
    spring = utc("2026-10-03T12:00"), utc("2026-10-03T16:30")  # 2:00 becomes 2:30

    assert local(walk(of("45 1 * * *", zone), *autumn), zone) == ["05 01:45 +1100"]
    assert local(walk(of("15 2 * * *", zone), *spring), zone) == ["04 02:30 +1100"]
    assert local(walk(of("*/15 1 * * *", zone), *autumn), zone) == [
        "05 01:00 +1100",
        "05 01:15 +1100",
        "05 01:30 +1100",
        "05 01:45 +1100",
        "05 01:30 +1030",
        "05 01:45 +1030",
    ]


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 0 13 * FRI", [2, 9, 13, 16, 23, 30]),  # either, as neither begins with *
        ("0 0 * * FRI", [2, 9, 16, 23, 30]),
        ("0 0 13 * *", [13]),
        ("0 0 */10 * SAT", [31]),  # both, as one begins with *: of 1, 11, 21 and 31, the 31st is a Saturday
        ("0 0 1-7 * 0-7", list(range(1, 32))),  # 0-7 does not begin with *
        ("0 0 * * 7", [4, 11, 18, 25]),
        ("0 0 * * 0", [4, 11, 18, 25]),
        ("0 0 * * sat-7", [3, 4, 10, 11, 17, 18, 24, 25, 31]),
        ("0 0 * jan mon-fri/2", [2, 5, 7, 9, 12, 14, 16, 19, 21, 23, 26, 28, 30]),
        ("0 0 L * *", [31]),
        ("0 0 LW * *", [30]),
        ("0 0 * * TUE#2", [13]),
        ("0 0 * * 5L", [30]),
        ("0 0 5-31/10 * *", [5, 15, 25]),
    ],
)
def test_days_are_those_of_vixie_cron(line: str, days: list[int]) -> None:
    january = utc("2025-12-31T23:59"), utc("2026-01-31T23:59")

    assert [one.day for one in walk(of(line), *january)] == days


def test_leap_days() -> None:
    assert [one.year for one in of("0 0 29 2 *").upcoming(3, ORIGIN)] == [2028, 2032, 2036]
    assert of("0 0 29 2 *").after(utc("2096-03-01T00:00")) == utc("2104-02-29T00:00")
    assert of("0 0 29 2 */7").after(utc("2032-03-01T00:00")) == utc("2060-02-29T00:00")  # on a Sunday
    assert of("0 0 29 2 *").before(utc("1970-01-01T00:00")) == utc("1968-02-29T00:00")


@pytest.mark.parametrize("line", ["0 0 */31 2 MON#5", "0 0 LW * */7", "* * */16 * 5L"])
def test_a_search_for_a_day_that_never_comes_ends(line: str) -> None:
    started = time.monotonic()

    assert of(line, "Europe/Berlin").after(ORIGIN) is None
    assert of(line, "Europe/Berlin").before(ORIGIN) is None
    assert time.monotonic() - started < 5


def test_there_is_a_last_year() -> None:
    assert of("0 0 29 2 *").after(utc("9997-01-01T00:00")) is None
    leap_day = utc("9996-02-29T00:00")
    assert leap_day <= of("0 0 29 2 *", jitter=MINUTE).fires_at(leap_day) <= leap_day + MINUTE
    assert of("* * * * *").after(utc("9999-12-31T23:59")) is None
    assert of("* * * * *").before(utc("9999-12-31T23:59")) == utc("9998-12-29T23:59")
    every = Recurrence(id="s", origin=ORIGIN, every=timedelta(days=366))
    assert every.after(utc("9998-12-20T00:00")) is None


def test_start_and_end_bound_the_due_times_and_belong_to_them() -> None:
    recurrence = of("0 12 * * *", start=utc("2026-02-01T12:00"), end=utc("2026-02-03T12:00"))

    assert walk(recurrence, ORIGIN, utc("2027-01-01T00:00")) == [utc(f"2026-02-0{day}T12:00") for day in (1, 2, 3)]
    assert recurrence.before(utc("2027-01-01T00:00")) == utc("2026-02-03T12:00")
    assert recurrence.before(utc("2026-02-01T12:00")) is None
    assert recurrence.after(utc("2026-02-03T12:00")) is None


def test_an_interval_counts_from_the_creation_or_from_start() -> None:
    every = Recurrence(id="s", origin=ORIGIN, every=timedelta(seconds=90))

    assert every.after(ORIGIN) == ORIGIN + timedelta(seconds=90)
    assert every.after(ORIGIN + timedelta(seconds=90.5)) == ORIGIN + timedelta(seconds=180)
    started = Recurrence(id="s", origin=ORIGIN, every=timedelta(hours=1), start=utc("2026-01-02T00:10"))
    assert started.upcoming(2, ORIGIN) == [utc("2026-01-02T00:10"), utc("2026-01-02T01:10")]


@given(
    every=st.integers(10**6, 10**13),
    offset=st.integers(-(10**13), 10**14),
    start=st.none() | st.integers(-(10**13), 10**13),
    count=st.integers(1, 30),
)
def test_intervals_do_not_drift_and_are_the_same_backwards(
    every: int, offset: int, start: int | None, count: int
) -> None:
    begins = None if start is None else ORIGIN + timedelta(microseconds=start)
    recurrence = Recurrence(id="s", origin=ORIGIN, every=timedelta(microseconds=every), start=begins)
    moment = ORIGIN + timedelta(microseconds=offset)

    coming = recurrence.upcoming(count, moment)

    assert coming[0] > moment
    assert all((one - (begins or ORIGIN)) % timedelta(microseconds=every) == timedelta(0) for one in coming)
    assert list(recurrence.last(count, until=coming[-1], since=moment)) == coming
    assert recurrence.before(coming[0]) is None or recurrence.before(coming[0]) <= moment  # type: ignore[operator]  # tested


@given(due=st.integers(0, 10**6), jitter=st.floats(0.001, 86_400), line=lines())
def test_jitter_is_the_same_each_time_and_keeps_firings_in_order(due: int, jitter: float, line: Line) -> None:
    recurrence = of(line.text, jitter=timedelta(seconds=jitter))
    times = recurrence.upcoming(5, ORIGIN + due * MINUTE)

    fires = [recurrence.fires_at(one) for one in times]

    assert fires == [of(line.text, jitter=timedelta(seconds=jitter)).fires_at(one) for one in times]
    assert all(at <= fire <= at + timedelta(seconds=jitter) for at, fire in zip(times, fires, strict=True))
    assert all(fire < at for fire, at in zip(fires, times[1:], strict=False))


def test_jitter_spreads_schedules_with_the_same_due_time() -> None:
    due = utc("2026-01-02T00:00")
    delays = sorted(
        (Recurrence(id=str(n), origin=ORIGIN, cron="@daily", jitter=timedelta(seconds=1000)).fires_at(due) - due)
        for n in range(1000)
    )

    assert delays[100] < timedelta(seconds=150)
    assert timedelta(seconds=400) < delays[500] < timedelta(seconds=600)
    assert delays[900] > timedelta(seconds=850)
    assert of("@daily").fires_at(due) == due


@pytest.mark.parametrize(
    ("line", "zone", "text"),
    [
        ("*/5 * * * *", "UTC", "Every fifth minute of every hour, UTC"),
        ("30 2 * * *", "Europe/Madrid", "At 02:30 every day, Europe/Madrid time"),
        ("0 9 * * mon-fri", "UTC", "At 09:00 on Monday through Friday, UTC"),
        ("0 */24 * * *", "UTC", "At 00:00 every day, UTC"),
        ("0 0 22 * *", "UTC", "At 00:00 on the 22nd day of every month, UTC"),
        ("0 0 31 1 *", "UTC", "At 00:00 on January 31, UTC"),
        ("0 0 13,31 * *", "UTC", "At 00:00 on the 13th and the 31st day of month, UTC"),
        ("@hourly", "UTC", "At the start of every hour, UTC"),
    ],
)
def test_lines_in_words(line: str, zone: str, text: str) -> None:
    assert words(line, zone, None) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "Every second"),
        (90, "Every 90 seconds"),
        (60, "Every minute"),
        (5400, "Every 90 minutes"),
        (86_400, "Every 24 hours"),
        (1.5, "Every 1.5 seconds"),
        (3_600_001, "Every 3,600,001 seconds"),
    ],
)
def test_intervals_in_words(seconds: float, text: str) -> None:
    assert words(None, "UTC", timedelta(seconds=seconds)) == text


@given(line=lines())
def test_every_line_has_words(line: Line) -> None:
    assert len(words(line.text, "UTC", None)) > len(", UTC")
