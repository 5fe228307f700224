"""Values of the settings of retention: how long something is kept, or how many. docs/retention.md has them all.

0 is refused: it would delete what is being made, and people who write it mean `forever` or `unlimited` as often.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from schemas.durations import duration_in_words, read_duration

FOREVER: Final = "forever"
UNLIMITED: Final = "unlimited"
LONGEST: Final = timedelta(days=18_250)
"""Fifty years: ids have no moments before 1970."""
LARGEST: Final = 1_000_000_000

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


def age(least: timedelta) -> Callable[[object], object]:
    """A validator of ages of at least `least`: a duration such as `90d`, or `forever` (None)."""

    def read(given: object) -> object:
        if not isinstance(given, str):
            return given
        if given.strip() == FOREVER:
            return None
        found = read_duration(given.strip())
        if found is None or not least <= found <= LONGEST:
            raise ValueError(
                f"should be '{FOREVER}', or a duration such as 90d, 12h or 30m of at least {duration_in_words(least)} "
                f"and at most {duration_in_words(LONGEST)}"
            )
        return found

    return read


def count(given: object) -> object:
    """A validator of numbers of rows: a whole number from 1, or `unlimited` (None)."""
    if not isinstance(given, str):
        return given
    text = given.strip()
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LARGEST):
        raise ValueError(f"should be '{UNLIMITED}', or a whole number from 1 to {LARGEST}")
    return int(text)
