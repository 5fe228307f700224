"""Which queries find the jobs of a filter."""

import pytest

from orchestrator.store.filters import filter_values
from schemas.rest.job_filters import JobFilter


def _asked(**fields: object) -> list[object]:
    """The status or the statuses for which each query asks; None for all."""
    values = filter_values(JobFilter.model_validate(fields), None)
    return [one["status"] or one["statuses"] for one in values]


@pytest.mark.parametrize("creator", ["ana", "01996e88-9c00-7000-8000-000000000000"])
def test_the_jobs_of_a_creator_that_have_ended_are_found_apart(creator: str) -> None:
    assert _asked(created_by=creator) == ["pending", "running", ["succeeded", "failed", "cancelled"]]


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (["running"], ["running"]),
        (["running", "pending", "running"], ["running", "pending"]),
        (["failed"], ["failed"]),
        (["cancelled", "pending", "failed"], ["pending", ["cancelled", "failed"]]),
    ],
)
def test_only_the_statuses_that_are_meant_are_asked_for(status: list[str], asked: list[object]) -> None:
    assert _asked(created_by="ana", status=status) == asked


def test_one_query_finds_the_jobs_of_all_creators() -> None:
    assert _asked() == _asked(cancelled_by="ana") == [None]
    assert _asked(status=["failed", "pending"]) == [["failed", "pending"]]


def test_no_query_is_made_for_a_filter_that_no_job_matches() -> None:
    assert filter_values(JobFilter(created_by="ana"), []) == []
    assert _asked(rerun_of="no id") == []
