"""What the command line says about a schedule that it has added."""

from datetime import UTC, datetime

import pytest

from hodei.schedule_views import following_text
from schemas.rest.schedules import Schedule

NEXT = datetime(2026, 11, 30, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "following", "text"),
    [
        ("Europe/Madrid", NEXT, "next at 2026-11-30 02:30:00 CET"),
        ("UTC", NEXT, "next at 2026-11-30 01:30:00 UTC"),
        (None, NEXT, f"next at {NEXT.astimezone():%Y-%m-%d %H:%M:%S %Z}"),
        ("UTC", None, "paused"),
    ],
)
def test_the_next_time_is_told_in_the_zone_of_the_schedule(
    zone: str | None, following: datetime | None, text: str
) -> None:
    assert following_text(Schedule.model_construct(timezone=zone, next_run_at=following)) == text
