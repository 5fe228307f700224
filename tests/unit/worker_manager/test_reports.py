"""Folding a batch of reports: what of it is true at the end."""

from itertools import permutations

import pytest

from schemas.cloudevents import CloudEvent, source_of, wrap
from schemas.events import (
    EventData,
    ExecutionCompleted,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionReturned,
    ExecutionStarted,
    TaskExpired,
    TaskWithdrawn,
)
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


def test_whose_execution_it_is_comes_from_the_order() -> None:
    """A worker may report on its own execution, and say in its report that this is one of another job."""
    script = Script()
    lying = Script(script.worker_id, script.incarnation, execution_id=script.execution_id)

    for events in permutations([script.scheduled(), lying.started(), lying.finished()]):
        [report] = fold([said(one) for one in events]).reports
        assert (report.task_id, report.job_id, report.attempt) == (script.task_id, script.job_id, 1)


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


def by_its_agent(data: ExecutionStarted | ExecutionFinished | ExecutionReturned) -> CloudEvent[EventData]:
    return wrap(data, id=new_id(), source=source_of(data.worker_id), time=NOON)


def test_an_agents_report_counts_by_the_order_in_its_batch_or_else_by_the_tables() -> None:
    script = Script()
    alone = fold([by_its_agent(script.started())])
    for events in permutations([said(script.scheduled()), by_its_agent(script.started())]):
        assert [one.placed for one in fold(events).reports] == [True]
    assert [one.placed for one in alone.reports] == [False]
    assert [one.placed for one in fold([said(script.started())]).reports] == [True], "a service repeats what it knows"


def test_an_agents_report_on_an_execution_of_another_is_foreign() -> None:
    script = Script()
    forger = Script(execution_id=script.execution_id, task_id=script.task_id, job_id=script.job_id)
    order, own = said(script.scheduled()), by_its_agent(script.finished())
    for forged in (forger.started(), forger.finished(), forger.returned()):
        for events in permutations([order, by_its_agent(forged), own]):
            folded = fold(events)
            assert [(one.worker_id, one.status) for one in folded.reports] == [
                (script.worker_id, ExecutionStatus.SUCCEEDED)
            ]
            assert [one.worker_id for one in folded.foreign] == [forger.worker_id]


def test_reports_of_two_workers_on_one_execution_are_not_mixed() -> None:
    script = Script()
    forger = Script(execution_id=script.execution_id, task_id=script.task_id, job_id=script.job_id)
    folded = fold([by_its_agent(script.started()), by_its_agent(forger.finished())])
    assert {one.worker_id: one.status for one in folded.reports} == {
        script.worker_id: ExecutionStatus.RUNNING,
        forger.worker_id: ExecutionStatus.SUCCEEDED,
    }
