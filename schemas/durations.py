"""Lengths of time as people write them: `90s`, `30m`, `12h`, `90d`. The command line and the settings read them."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")


def read_duration(text: str) -> timedelta | None:
    """The length of time that a text such as `30d` means; None for any other text."""
    found = _DURATION.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


def duration_in_words(duration: timedelta) -> str:
    """The same text for a length of time, in its largest whole unit: `90d`, `36h`."""
    for letter, unit in _UNITS.items():
        count, rest = divmod(duration, timedelta(**{unit: 1}))
        if count and not rest:
            return f"{count}{letter}"
    return f"{duration.total_seconds():g}s"
