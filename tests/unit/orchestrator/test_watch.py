"""Who waits for a job is woken by what concerns them, and by nothing else."""

from __future__ import annotations

from typing import cast

import pytest

from orchestrator.watch import FEW, Watch
from schemas.states import JobStatus
from schemas.subjects import Catalogue
from shared.bus import Bus
from shared.ids import new_id

WHILE = 0.001


class Line:
    """A bus as far as a watch needs one."""

    catalogue = Catalogue("hodei")


def watch() -> Watch:
    return Watch(cast(Bus, Line()))


async def heard(watch: Watch, event_type: str, job_id: str) -> None:
    payload = f'[{{"data":{{"job_id":"{job_id}"}}}}]'.encode()
    await watch._hear(f"hodei.{event_type}", payload, "")


@pytest.mark.parametrize("crowd", [0, FEW + 1])
@pytest.mark.parametrize(
    ("event_type", "wakes"),
    [("tasks.scheduled", False), ("tasks.succeeded", False), ("jobs.started", False), ("jobs.succeeded", True)],
)
async def test_who_waits_for_the_end_is_not_woken_before(event_type: str, wakes: bool, crowd: int) -> None:
    one, job_id = watch(), new_id()
    for _ in range(crowd):
        one._listeners[new_id()] = set()
    with one.about(job_id, end_only=True) as end, one.about(job_id) as anything:
        await heard(one, event_type, job_id)
        assert anything._changed.is_set()
        assert end._changed.is_set() is wakes


async def test_an_own_commit_that_does_not_end_the_job_wakes_nobody_who_waits_for_the_end() -> None:
    one, job_id = watch(), new_id()
    with one.about(job_id, end_only=True) as end:
        end.tell(JobStatus.RUNNING)
        assert not end._changed.is_set()
        one.tell([job_id])  # a change whose outcome is not known here: they have to look
        assert end._changed.is_set()
        await end.changed(WHILE)
        end.tell(JobStatus.FAILED)
        assert end._changed.is_set()
        assert end.ended is JobStatus.FAILED


async def test_nobody_is_left_behind() -> None:
    one = watch()
    with one.about("a"), one.about("a", end_only=True):
        pass
    assert one._listeners == {}
