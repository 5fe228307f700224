"""Due times that pass while no scheduler runs: what the schedule's `catch_up` makes of them, and what its history says.

Its jobs are of a pipeline without steps, so that they succeed at once.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.domain import firing
from tests.integration.reliability.conftest import DEADLINE, House

SECOND = timedelta(seconds=1)
OUTAGE = 4.5


def due(one: dict[str, Any], field: str = "due_at") -> datetime:
    return datetime.fromisoformat(one[field])


async def history(house: House, schedule_id: str) -> list[dict[str, Any]]:
    """The firings of a schedule, the first one first."""
    found: list[dict[str, Any]] = await house.call("scheduler", "GET", f"/scheduled/{schedule_id}/history")
    return found[::-1]


async def until_fired(house: House, schedule_id: str, count: int, *, after: datetime | None = None) -> datetime:
    """Return the last due time once so many firings of a time, all after a moment, have succeeded."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = [
                due(one)
                for one in await history(house, schedule_id)
                if (one["kind"], one["outcome"]) == ("time", "succeeded") and (after is None or due(one) > after)
            ]
            if len(found) >= count:
                return found[-1]
            await asyncio.sleep(0.05)  # nothing tells when a row is written


def covered(firings: list[dict[str, Any]]) -> list[datetime]:
    """The due times of firings, and those of the ranges that were missed."""
    times: list[datetime] = []
    for one in firings:
        first = due(one, "first_due_at") if one["first_due_at"] else due(one)
        assert due(one) == first + (one["count"] - 1) * SECOND
        times += [first + n * SECOND for n in range(one["count"])]
    return times


@pytest.mark.parametrize(
    ("asked", "caught_up"),
    [
        ({"catch_up": "none"}, 0),
        ({"catch_up": "last"}, 1),
        ({"catch_up": "all", "catch_up_limit": 2}, 2),
        ({"catch_up": "all"}, None),
    ],
    ids=["none", "last", "two", "all"],
)
async def test_what_falls_into_an_outage_follows_catch_up_and_is_in_the_history(
    house: House, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], caught_up: int | None
) -> None:
    monkeypatch.setattr(firing, "LATE", SECOND)
    pipeline = await house.call("orchestrator", "POST", "/pipelines", {"name": "nothing", "steps": []})
    schedule = await house.call("scheduler", "POST", "/schedule", {"pipeline_id": pipeline["id"], "every": 1, **asked})
    before = await until_fired(house, schedule["id"], 2)
    await house.stop("scheduler")
    await asyncio.sleep(OUTAGE)  # the outage is a matter of time
    await house.start("scheduler")
    await until_fired(house, schedule["id"], 2, after=before + timedelta(seconds=OUTAGE))
    await house.call("scheduler", "POST", f"/scheduled/{schedule['id']}/pause")

    firings = await history(house, schedule["id"])
    times = covered(firings)
    assert times == [times[0] + n * SECOND for n in range(len(times))], "each due time once"
    missed = sum(one["count"] for one in firings if one["outcome"] == "missed")
    late = [one for one in firings if one["kind"] == "catch_up"]
    assert missed + len(late) >= 2
    assert len(late) == (missed + len(late) if caught_up is None else caught_up)
    assert (missed == 0) == (caught_up is None)
    if missed and late:
        assert due(late[0]) == max(due(one) for one in firings if one["outcome"] == "missed") + SECOND
    assert {one["outcome"] for one in firings} - {"missed"} == {"succeeded"}
    shown = await house.call("scheduler", "GET", f"/scheduled/{schedule['id']}")
    assert shown["missed"] == missed
    jobs = await house.call("orchestrator", "GET", f"/jobs?schedule_id={schedule['id']}")
    assert [one["id"] for one in jobs[::-1]] == [one["job_id"] for one in firings if one["outcome"] != "missed"]
