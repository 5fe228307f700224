"""How many jobs one transaction of retention deletes."""

from __future__ import annotations

import pytest

from orchestrator.retention import JOBS_AT_ONCE, TASKS_AT_ONCE, _choose
from orchestrator.store.retention import JobDue


@pytest.mark.parametrize(
    ("tasks", "chosen", "whole"),
    [
        ([], 0, True),
        ([1] * JOBS_AT_ONCE, JOBS_AT_ONCE, True),
        ([1] * (JOBS_AT_ONCE + 1), JOBS_AT_ONCE, False),
        ([TASKS_AT_ONCE // 2, TASKS_AT_ONCE // 2, 1], 2, False),
        ([TASKS_AT_ONCE * 5, 1], 1, False),  # a job larger than that goes alone
        ([TASKS_AT_ONCE, 0], 2, True),
    ],
)
def test_a_transaction_deletes_a_bounded_number(tasks: list[int], chosen: int, whole: bool) -> None:
    page = [JobDue(str(number), due=True, tasks=count) for number, count in enumerate(tasks)]
    assert _choose(page) == ([job.id for job in page[:chosen]], whole)


def test_jobs_that_are_not_due_are_passed_over() -> None:
    page = [JobDue("a", due=False), JobDue("b", due=True), JobDue("c", due=False)]
    assert _choose(page) == (["b"], True)
