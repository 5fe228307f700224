"""When a recurring schedule is due: the due times of a cron line in a time zone, or of an interval.

cronsim finds the times that a line names on the wall clock, which know no daylight saving. What a change of the clock
makes of them is decided here, as Vixie cron does:

- A line with fixed minutes and hours names times of day. One in the hour that is left out comes due once, when that
  hour would have ended; one in the hour that comes twice comes due the first time only.
- A line whose minutes or hours begin with `*` names moments that recur: it goes by the clock, so that it is not due in
  an hour that is left out, and due in both of those that have the same name.

Pure. Each search is bounded: cronsim ends one after 50 years.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim
from cronsim.explain import explain

from schemas.model import LAST_YEAR
from schemas.recurrence import cron_fields

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_NONE: Final = timedelta(0)
_LAST: Final = datetime(LAST_YEAR, 12, 30, tzinfo=UTC)
"""No due time is later."""
_ORDINAL: Final = re.compile(r"\b([23])([123])th\b")
_ENDINGS: Final = {"1": "st", "2": "nd", "3": "rd"}
_UNITS: Final = ((3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The due times of one schedule: by a cron line or by an interval, from `start` to `end`, both included."""

    id: str
    """The schedule's id, by which its jitter differs from that of others."""
    origin: datetime
    """When the schedule was created: intervals count from it, or from `start`."""
    cron: str | None = None
    """A valid cron line; with None, `every` is needed."""
    zone: str = "UTC"
    every: timedelta | None = None
    start: datetime | None = None
    end: datetime | None = None
    jitter: timedelta = _NONE
    _clock: "_Times" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        times: _Times
        if self.cron is not None:
            times = _Clock.of(self.cron, self.zone)
        elif self.every is not None:
            times = _Interval(self.start or self.origin, self.every)
        else:
            raise ValueError("a recurrence needs a cron line or an interval")
        object.__setattr__(self, "_clock", times)

    def after(self, moment: datetime) -> datetime | None:
        """The first due time after a moment; None if there is none."""
        if self.start is not None and moment < self.start:
            moment = self.start - timedelta(microseconds=1)
        due = self._next(moment)
        return due if due is not None and due <= min(self.end or _LAST, _LAST) else None

    def before(self, moment: datetime) -> datetime | None:
        """The last due time before a moment; None if there is none."""
        if self.end is not None and moment > self.end:
            moment = self.end + timedelta(microseconds=1)
        due = self._clock.before(min(moment, _LAST))
        return due if due is not None and (self.start is None or due >= self.start) else None

    def last(self, count: int, *, until: datetime, since: datetime) -> Sequence[datetime]:
        """The newest `count` due times after `since`, and at `until` or before it, the oldest first."""
        found: list[datetime] = []
        due = self.before(until + timedelta(microseconds=1))
        while due is not None and due > since and len(found) < count:
            found.append(due)
            due = self.before(due)
        return found[::-1]

    def upcoming(self, count: int, moment: datetime) -> Sequence[datetime]:
        """The first `count` due times after a moment."""
        found: list[datetime] = []
        due = self.after(moment)
        while due is not None and len(found) < count:
            found.append(due)
            due = self.after(due)
        return found

    def fires_at(self, due: datetime) -> datetime:
        """When the schedule fires for a due time: up to `jitter` later, and before the next due time, so that firings
        keep their order. The delay depends on the schedule and the due time only."""
        if not self.jitter:
            return due
        following = self._next(due)
        most = self.jitter if following is None else min(self.jitter, following - due)
        digest = hashlib.sha256(f"{self.id} {due.astimezone(UTC).isoformat()}".encode()).digest()
        return due + most * (int.from_bytes(digest[:6], "big") / 2**48)

    def _next(self, moment: datetime) -> datetime | None:
        """The first time after a moment that the line or the interval names, whatever `start` and `end` are."""
        try:
            return self._clock.after(moment) if moment < _LAST else None
        except OverflowError:
            return None  # the search went beyond the last year that there is


def words(cron: str | None, zone: str, every: timedelta | None) -> str:
    """When a schedule is due, in words."""
    if cron is not None:
        return (
            f"{_ORDINAL.sub(_ordinal, explain(' '.join(cron_fields(cron))))}, {zone}{'' if zone == 'UTC' else ' time'}"
        )
    if every is None:
        raise ValueError("a recurrence needs a cron line or an interval")
    seconds = every.total_seconds()
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds % size == 0), (1, "second"))
    count = seconds / size
    return f"Every {unit}" if count == 1 else f"Every {count:,.15g} {unit}s"


@dataclass(frozen=True, slots=True)
class _Interval:
    """Moments at equal distances, from the first on."""

    first: datetime
    every: timedelta

    def after(self, moment: datetime) -> datetime | None:
        if moment < self.first:
            return self.first
        return self.first + ((moment - self.first) // self.every + 1) * self.every

    def before(self, moment: datetime) -> datetime | None:
        if moment <= self.first:
            return None
        return self.first + -((self.first - moment) // self.every + 1) * self.every


@dataclass(frozen=True, slots=True)
class _Clock:
    """The moments that a cron line names in a time zone."""

    line: str
    zone: ZoneInfo
    fixed: bool
    """Whether the line names times of day: neither its minutes nor its hours begin with `*`."""

    @classmethod
    def of(cls, cron: str, zone: str) -> "_Clock":
        fields = cron_fields(cron)
        return cls(" ".join(fields), ZoneInfo(zone), not fields[0].startswith("*") and not fields[1].startswith("*"))

    def after(self, moment: datetime) -> datetime | None:
        here = self._wall(moment)
        # Where the clock is put back within the next day, names before `here` come again after `moment`.
        put_back = max(_NONE, self._offset(moment) - self._offset(moment + _DAY))
        found: datetime | None = None
        for name in self._names(here - put_back):
            later = [one for one in self._moments(name) if one > moment]
            found = min([*later, found] if found is not None else later, default=None)
            if found is not None and name > here:
                return found
        return found

    def before(self, moment: datetime) -> datetime | None:
        here = self._wall(moment)
        put_back = max(_NONE, self._offset(moment - _DAY) - self._offset(moment))
        found: datetime | None = None
        for name in self._names(here + put_back, reverse=True):
            earlier = [one for one in self._moments(name) if one < moment]
            found = max([*earlier, found] if found is not None else earlier, default=None)
            if found is not None and name < here:
                return found
        return found

    def _names(self, wall: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        """The times on the wall clock that the line names, after a time, or from it backwards."""
        return CronSim(self.line, wall, reverse=reverse)

    def _moments(self, name: datetime) -> Sequence[datetime]:
        """When the clock shows a time that the line names: once, twice, or never."""
        if self.fixed:
            first = name.replace(tzinfo=self.zone).astimezone(UTC)
            while self._wall(first) != name:
                name += _MINUTE  # it is left out: on to where the clock goes on
                first = name.replace(tzinfo=self.zone).astimezone(UTC)
            return (first,)
        both = {name.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return [one for one in both if self._wall(one) == name]

    def _wall(self, moment: datetime) -> datetime:
        """What the clock shows at a moment, without its zone."""
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _offset(self, moment: datetime) -> timedelta:
        return self._wall(moment) - moment.astimezone(UTC).replace(tzinfo=None)


_Times = _Clock | _Interval


def _ordinal(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{_ENDINGS[found[2]]}"
