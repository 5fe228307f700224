"""Folding a batch of reports: what of it is true at the end."""

from itertools import permutations

import pytest

from schemas.events import EventData, ExecutionCompleted, ExecutionRefused, TaskExpired, TaskWithdrawn
from schemas.refusals import RefusalReason
from schemas.states import ExecutionStatus, Reason
from shared.ids import new_id
from tests.unit.worker_manager.events import LATER, NOON, Script, said
from worker_manager.domain.reports import fold


def test_start_and_end_in_one_batch_are_one_row() -> None:
    script = Script()

    [report] = fold([said(script.started()), said(script.finished(chunks=2))]).reports

    assert (report.status, report.rank, report.exit_code, report.log_chunks) == (ExecutionStatus.SUCCEEDED, 2, 0, 2)
    assert (report.started_at, report.finished_at) == (NOON, LATER)


def test_whatever_order_they_come_in() -> None:
    script = Script()
    events: list[EventData] = [script.started(), script.finished(ExecutionStatus.FAILED, exit_code=3)]

    outcomes = {fold([said(one) for one in order]).reports[0] for order in permutations(events)}

    assert len(outcomes) == 1


def test_the_labels_of_the_step_come_from_whichever_event_has_them() -> None:
    plain, labelled = Script(), Script(labels={"team": "web"})
    same = ("execution_id", "task_id", "job_id", "worker_id", "incarnation")
    for name in same:
        setattr(plain, name, getattr(labelled, name))

    for first, second in permutations([plain, labelled]):
        batches = ([first.started(), second.finished()], [first.scheduled(), second.finished()], [first.finished()])
        for events in batches[: 2 if first is plain else 3]:
            [report] = fold([said(one) for one in events]).reports
            assert report.labels == {"team": "web"}, events


def test_the_first_outcome_holds() -> None:
    script = Script()

    [report] = fold([said(script.started()), said(script.lost()), said(script.finished())]).reports

    assert (report.status, report.reason, report.started_at) == (ExecutionStatus.LOST, Reason.LOST, NOON)


def test_a_returned_execution_is_closed_without_ever_having_run() -> None:
    [report] = fold([said(Script().returned(), at=LATER)]).reports

    assert (report.status, report.reason) == (ExecutionStatus.CANCELLED, Reason.RETURNED)
    assert (report.started_at, report.finished_at) == (None, LATER)


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        (TaskExpired, ExecutionStatus.FAILED, Reason.QUEUE_TIMEOUT),
        (TaskWithdrawn, ExecutionStatus.CANCELLED, Reason.CANCELLED),
    ],
)
def test_a_task_that_leaves_the_queue_closes_what_was_asked_for(
    event: type[TaskExpired | TaskWithdrawn], status: ExecutionStatus, reason: Reason
) -> None:
    data = event(task_id=new_id(), job_id=new_id(), attempt=1)

    [unplaced] = fold([said(data, at=LATER)]).unplaced

    assert (unplaced.task_id, unplaced.status, unplaced.reason) == (data.task_id, status, reason)
    assert unplaced.finished_at == LATER


def test_a_request_with_nothing_to_run_succeeds() -> None:
    script = Script()
    ids = {"execution_id": script.execution_id, "task_id": script.task_id, "job_id": script.job_id, "attempt": 1}
    completed = ExecutionCompleted(**ids, finished_at=LATER)

    [settled] = fold([said(completed), said(completed)]).settled

    assert (settled.execution_id, settled.status) == (script.execution_id, ExecutionStatus.SUCCEEDED)
    assert (settled.reason, settled.finished_at) == (None, LATER)


def test_a_refusal_says_why() -> None:
    script = Script()
    refused = ExecutionRefused(
        execution_id=script.execution_id,
        task_id=script.task_id,
        job_id=script.job_id,
        attempt=1,
        reason=RefusalReason.NOT_FOUND,
        detail="there is no job x",
    )

    folded = fold([said(refused), said(refused)])

    assert [one.detail for one in folded.settled] == ["there is no job x"]
    assert folded.reports == []
