"""Cron lines and time zones, checked where they are written.

A cron line has the five fields of crontab(5) with the meaning that Vixie cron gives them, or is a nickname such as
`@daily`. Beyond crontab(5), the day of the month may be `L` (the last day) or `LW` (the last weekday), and the day of
the week `5L` (the last Friday of the month) or `MON#2` (the second Monday). What crons read in different ways is
refused. The due times of a line are computed in the scheduler.
"""

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MAX_LINE: Final = 200
"""The most characters of a cron line."""
MAX_ZONE: Final = 100
"""The most characters of a time zone's name."""

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most days of each month, from January at 1."""
_NO_ZONES: Final = frozenset({"localtime", "Factory"})
"""Names in the time zone database that are not zones: what they mean depends on the machine."""
_OFFSET: Final = re.compile(r"(UTC|GMT)?[+-]\d{1,2}(:?\d\d)?")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: Sequence[str] = ()
    """Names of its values, from `first` on."""
    first: int = 0

    @property
    def a(self) -> str:
        """Its name with an article."""
        return f"an {self.name}" if self.name == "hour" else f"a {self.name}"

    @property
    def range(self) -> str:
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{named}"


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of the week", 0, 7, _DAYS),
)
_NAMED: Final = ", ".join(field.name for field in _FIELDS)
_JITTER: Final = "; for a random delay there is jitter"
_OF_OTHERS: Final = {"~": _JITTER, "H(": _JITTER, "?": "; write * for every value"}
"""What to write for signs that some crons know."""
_TERM: Final = re.compile(r"(?P<first>\*|[A-Z]+|\d+)(-(?P<last>[A-Z]+|\d+))?(/(?P<step>\d+))?", re.ASCII)
_OF_MONTH: Final = re.compile(r"(?P<last>[A-Z]+|\d+)L|(?P<nth>[A-Z]+|\d+)#(?P<count>\d+)", re.ASCII)


def cron_fields(line: str) -> tuple[str, str, str, str, str]:
    """The five fields of a cron line in one spelling: nicknames written out, in capital letters, and without steps that
    reach no second value (`*/24` as an hour is 0).

    Raises ValueError, in one clause, for a line that is not valid or never comes due.
    """
    return _read(line)


@lru_cache(maxsize=4096)
def _read(line: str) -> tuple[str, str, str, str, str]:
    text = line.strip()
    if text.startswith("@"):
        text = _written_out(text)
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(_miscounted(parts))
    read = [_read_field(field, part) for field, part in zip(_FIELDS, parts, strict=True)]
    day_of_month, month, day_of_week = read[2:]
    # Vixie cron: if one of the two fields of days begins with *, a day must match both; otherwise either is enough.
    if not day_of_month.text.startswith("*") and day_of_week.text.startswith("*") and day_of_month.values:
        longest = max(_LONGEST[number] for number in month.values)
        if not day_of_month.at_the_end and min(day_of_month.values) > longest:
            raise ValueError(f"never comes due: day {min(day_of_month.values)} is in none of its months")
    minute, hour, *days = (one.text for one in read)
    return minute, hour, days[0], days[1], days[2]


def check_zone(name: str) -> str:
    """The name itself. Raises ValueError, in one clause, for a name that is not a zone of the IANA database."""
    if name in _zones():
        return name
    if _OFFSET.fullmatch(name.strip().upper()):
        raise ValueError("is an offset, and a time zone is needed, as Europe/Madrid; for no daylight saving, UTC")
    near = _nearest_zone(name)
    hint = f"did you mean {near}?" if near else "a name of the IANA database is needed, as Europe/Madrid or UTC"
    raise ValueError(f"is not a known time zone; {hint}")


def _check_cron(line: str) -> str:
    cron_fields(line)
    return line


CronLine = Annotated[str, StringConstraints(max_length=MAX_LINE), AfterValidator(_check_cron)]
"""A line of a crontab without its command."""
Zone = Annotated[str, StringConstraints(max_length=MAX_ZONE), AfterValidator(check_zone)]
"""A time zone's name in the IANA database."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One field: its text in one spelling, its values, and whether it counts from the end of the month."""

    text: str
    values: frozenset[int]
    at_the_end: bool = False


def _written_out(text: str) -> str:
    nickname, *more = text.lower().split()
    if nickname == "@every":
        raise ValueError("@every is not a cron line: give the seconds as `every`, without cron")
    if more:
        raise ValueError(f"{nickname} stands alone in a cron line")
    if nickname == "@reboot":
        raise ValueError("@reboot is not a time: leave it to the machine's own cron")
    if nickname not in NICKNAMES:
        near = get_close_matches(nickname, NICKNAMES, n=1, cutoff=0.6)
        raise ValueError(
            f"{nickname} is not known; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(NICKNAMES)}")
        )
    return NICKNAMES[nickname]


def _miscounted(parts: Sequence[str]) -> str:
    name, equals, _ = parts[0].partition("=") if parts else ("", "", "")
    if equals and name in ("TZ", "CRON_TZ"):
        return f"begins with {name}=: give the time zone as `timezone`, beside cron"
    count = f"{len(parts)} field" if len(parts) == 1 else f"{len(parts)} fields"
    hint = "; a field of seconds is not among them" if len(parts) == len(_FIELDS) + 1 else ""
    return f"has {count}; a cron line has 5: {_NAMED}{hint}"


def _read_field(field: _Field, text: str) -> _Read:
    terms = [_read_term(field, term) for term in text.split(",")]
    return _Read(
        ",".join(term.text for term in terms),
        frozenset().union(*(term.values for term in terms)),
        any(term.at_the_end for term in terms),
    )


def _read_term(field: _Field, text: str) -> _Read:
    if field.high == 31 and text in ("L", "LW"):
        return _Read(text, frozenset(), at_the_end=True)
    if field.names is _DAYS and (of_month := _OF_MONTH.fullmatch(text)):
        if of_month["last"]:
            return _Read(f"{_number(field, of_month['last'])}L", frozenset())
        if not 1 <= int(of_month["count"]) <= 5:
            raise ValueError(f"{text} is not {field.a}: after # stands which one of the month, 1 to 5")
        return _Read(f"{_number(field, of_month['nth'])}#{int(of_month['count'])}", frozenset())
    found = _TERM.fullmatch(text)
    if found is None or (found["first"] == "*" and found["last"]):
        hint = next((hint for sign, hint in _OF_OTHERS.items() if sign in text), "")
        raise ValueError(f"{text!r} is not {field.a} ({field.range}), a range or a step{hint}")
    every = found["first"] == "*"
    first = field.low if every else _number(field, found["first"])
    last = field.high if every else _number(field, found["last"] or found["first"])
    step = int(found["step"] or 1)
    if last < first:
        hint = f"; write {first}-7, as 7 is Sunday too" if field.names is _DAYS and not last else ""
        raise ValueError(f"{text}: the range of the {field.name} runs backwards{hint}")
    if not step:
        raise ValueError(f"{text}: the step of the {field.name} is 0")
    if found["step"] and not every and not found["last"]:
        raise ValueError(
            f"{text}: crons read this differently; write {first}-{_top(field)}/{step} for every step up to the end"
        )
    values = frozenset(range(first, last + 1, step))
    return _Read(_spelling(field, found, values, step), values)


def _spelling(field: _Field, found: re.Match[str], values: frozenset[int], step: int) -> str:
    only = len(values) == 1
    # The * of a field of days says how the two of them combine, so it stays.
    if only and (found["first"] != "*" or field.high in (23, 59)):
        return str(min(values))
    text = found["first"] if not found["last"] else f"{min(values)}-{_number(field, found['last'])}"
    return f"{text}/{step}" if step > 1 else text


def _top(field: _Field) -> int:
    return 6 if field.names is _DAYS else field.high


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.first + list(field.names).index(text)
    number = int(text) if text.isdigit() else None
    if number is None or not field.low <= number <= field.high:
        raise ValueError(f"{text} is not {field.a} ({field.range}){_JITTER if text == 'H' else ''}")
    return number


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _NO_ZONES


def _nearest_zone(name: str) -> str | None:
    """The zone that is written most like a name, or the one of the city that it names."""
    written = {zone.lower(): zone for zone in sorted(_zones())}
    cities = {zone.lower().rsplit("/", 1)[-1]: zone for zone in sorted(_zones(), reverse=True)}
    wanted = name.strip().lower().replace(" ", "_")
    if wanted in written or wanted in cities:
        return written.get(wanted) or cities[wanted]
    if len(wanted) < 5:
        return None  # an abbreviation, such as CEST, is like many names and means none of them
    near = get_close_matches(wanted, written, n=1, cutoff=0.7)
    if near:
        return written[near[0]]
    near = get_close_matches(wanted.rsplit("/", 1)[-1], cities, n=1, cutoff=0.8)
    return cities[near[0]] if near else None
