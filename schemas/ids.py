"""What an id is: the form of ids that cross between services, and the ids that bound a moment.

Every id is a UUIDv7 in its canonical lower-case text form, and a `str` in Python. `shared.ids` makes them. Sorting by
id is sorting by time of creation.
"""

import re
from datetime import datetime, timedelta
from math import ceil
from typing import Final

UUID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UUID: Final = re.compile(UUID_PATTERN)

LOWEST: Final = "00000000-0000-0000-0000-000000000000"
HIGHEST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""The ids that bound all others: where a walk through rows in the order of their ids begins."""


def is_id(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form (any version); anything else names nothing (404)."""
    return _UUID.fullmatch(text) is not None


def first_id_at(moment: datetime) -> str:
    """The lowest UUIDv7 of a moment (to the millisecond, rounded up): what was made before it has a lower one."""
    milliseconds = ceil(moment.timestamp() * 1000)
    digits = f"{milliseconds:012x}70008000000000000000"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


CLOCKS_APART: Final = timedelta(minutes=5)
"""By how much the clocks of two services differ at the most."""


def id_above(moment: datetime) -> str:
    """An id above those of all that was created before a moment, which lets a query begin in the middle of an index.

    An id is made no later than what it names is created, be it by another service's clock. There is no such bound from
    below: a schedule chooses the id of its job when it fires, and the job is created when the orchestrator hears of it.
    """
    return first_id_at(moment + CLOCKS_APART)
