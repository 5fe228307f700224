"""What a schedule owes when it is due: which of its due times fire, which are missed, and which comes next.

Pure: the due times come from the schedule's recurrence (`scheduler.domain.recurrence`), the moment from the caller.

A due time that passed at most LATE ago fires, as after a change of the leader. Of those that passed earlier, as while
no scheduler ran, the schedule's `catch_up` chooses which fire; the others are missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from schemas.rest.schedules import CatchUp
from schemas.states import FiringKind

LATE: Final = timedelta(seconds=15)
"""How late a due time still fires by itself."""
MOST_COUNTED: Final = 2000
"""The most due times of one schedule that are looked at, at once: those of a day of minutes, and more."""
_TICK: Final = timedelta(microseconds=1)


class DueTimes(Protocol):
    """The due times of a schedule. It fires up to its jitter after each of them, in their order."""

    def after(self, moment: datetime) -> datetime | None:
        """The first due time after a moment; None if there is none."""

    def last(self, count: int, *, until: datetime, since: datetime) -> Sequence[datetime]:
        """The newest `count` due times after `since`, and at `until` or before it, the oldest first."""

    def fires_at(self, due: datetime) -> datetime:
        """When the schedule fires for a due time."""


@dataclass(frozen=True, slots=True)
class Due:
    """A due time for which the schedule fires."""

    at: datetime
    kind: FiringKind = FiringKind.TIME


@dataclass(frozen=True, slots=True)
class Missed:
    """Due times for which the schedule does not fire, from the `first` to the `last`."""

    count: int
    first: datetime
    last: datetime
    more: bool = False
    """Whether there were more than `count`: counting stops at MOST_COUNTED."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done about the due times of one schedule, up to and with `last`; `following` comes after them."""

    fires: Sequence[Due]
    missed: Missed | None
    last: datetime
    following: datetime | None
    looked_at: int = 1
    """How many due times were looked at, which is what the plan costs."""


def plan(times: DueTimes, first: datetime, moment: datetime, *, catch_up: CatchUp, limit: int) -> Plan:
    """What to do at `moment` about a schedule whose `first` due time has come. `limit` is for `catch_up: all`."""
    following = times.after(first)
    if following is None or times.fires_at(following) > moment:
        passed = [first]
    else:
        passed = list(times.last(MOST_COUNTED, until=moment, since=first - _TICK))
        while len(passed) > 1 and times.fires_at(passed[-1]) > moment:
            passed.pop()
        following = times.after(passed[-1])
    late = sum(times.fires_at(due) < moment - LATE for due in passed)
    caught = min(late, {"none": 0, "last": 1, "all": limit}[catch_up])
    gone = late - caught
    missed = None
    if gone:
        missed = Missed(gone, first, passed[gone - 1], more=passed[0] > first)
    fires = [Due(due, FiringKind.CATCH_UP) for due in passed[gone:late]] + [Due(due) for due in passed[late:]]
    return Plan(fires, missed, passed[-1], following, looked_at=len(passed))
