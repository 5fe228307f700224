"""Which queries find the jobs of a filter."""

import pytest

from orchestrator.store.filters import filter_values
from schemas.rest.job_filters import JobFilter


def _asked(**fields: object) -> list[object]:
    """What each query asks for: the status of jobs that have not ended, "ended", or None for all jobs."""
    values = filter_values(JobFilter.model_validate(fields), None)
    return ["ended" if one["ended"] else one["open"] for one in values]


@pytest.mark.parametrize("creator", ["ana", "01996e88-9c00-7000-8000-000000000000"])
def test_the_jobs_of_a_creator_are_asked_for_in_the_order_of_their_statuses(creator: str) -> None:
    assert _asked(created_by=creator) == ["pending", "running", "ended"]


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (["running"], ["running"]),
        (["running", "pending"], ["pending", "running"]),
        (["failed"], ["ended"]),
        (["cancelled", "pending"], ["pending", "ended"]),
    ],
)
def test_only_the_statuses_that_are_meant_are_asked_for(status: list[str], asked: list[object]) -> None:
    assert _asked(created_by="ana", status=status) == asked


def test_one_query_finds_the_jobs_of_all_creators() -> None:
    assert _asked() == _asked(status=["failed", "pending"]) == _asked(cancelled_by="ana") == [None]


def test_no_query_is_made_for_jobs_that_cannot_be() -> None:
    assert filter_values(JobFilter(created_by="ana"), []) == []
    assert _asked(rerun_of="no id") == []
