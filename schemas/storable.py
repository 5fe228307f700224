"""What the tables of the services can store of a worker's messages. Our agent sends nothing else; a hostile program
with a worker's credentials may send anything that has the form of a report or of a heartbeat.

Here: the limits of PostgreSQL's types, for the reports of `schemas.subjects.REPORTS` and for the messages of agents
outside the streams. Not here: what a report or a heartbeat means.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel

from schemas.agents import Offer
from schemas.events import EventData, ExecutionFinished, ExecutionReturned, ExecutionStarted
from schemas.ids import is_id
from schemas.model import FIRST_YEAR, LAST_YEAR

MOST: Final = 2**31 - 1
"""The highest number of a PostgreSQL integer."""
MOST_COUNTED: Final = 2**63 - 1
"""The highest number of a PostgreSQL bigint."""
_NUL: Final = b"\\u0000"


def fault_of_report(data: EventData, time: datetime, raw: bytes) -> str | None:
    """Why a report cannot be stored; None if it can. `time` is that of its event, and `raw` the message it came in."""
    if not isinstance(data, ExecutionStarted | ExecutionFinished | ExecutionReturned):
        return None
    if not (is_id(data.execution_id) and is_id(data.task_id) and is_id(data.job_id) and is_id(data.incarnation)):
        return "has an id that is not a UUID"
    times = [time]
    if not 0 < data.attempt <= MOST:
        return "has an attempt that is out of range"
    if isinstance(data, ExecutionStarted):
        times.append(data.started_at)
    elif isinstance(data, ExecutionFinished):
        times.append(data.finished_at)
        if data.started_at is not None:
            times.append(data.started_at)
        if data.exit_code is not None and not -MOST <= data.exit_code <= MOST:
            return "has an exit code that is out of range"
        log = data.log
        if not (0 <= log.chunks <= MOST and 0 <= log.lines <= MOST_COUNTED and 0 <= log.bytes <= MOST_COUNTED):
            return "has a number of the log that is out of range"
    if not all(map(_is_near, times)):
        return f"has a time outside the years {FIRST_YEAR} to {LAST_YEAR}"
    return _fault_of_text(data, raw)


def fault_of_news(news: Offer, raw: bytes) -> str | None:
    """Why a heartbeat or an offer cannot be stored; None if it can. `raw` is the message."""
    if not (is_id(news.worker_id) and is_id(news.incarnation)):
        return "has a worker or an incarnation that is not named by an id"
    return _fault_of_text(news, raw)


def _fault_of_text(model: BaseModel, raw: bytes) -> str | None:
    found = _NUL in raw and any("\0" in text for text in _texts(model))
    return "has a NUL character" if found else None


def _is_near(moment: datetime) -> bool:
    try:
        return FIRST_YEAR <= moment.astimezone(UTC).year <= LAST_YEAR
    except OverflowError:
        return False


def _texts(value: object) -> Iterator[str]:
    """All strings in the fields of a model."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
