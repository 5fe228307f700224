"""What a service publishes again out of its rows is the fact that it was told, whichever service it is.

The rows are made of the services' own folding, so that a field that is not stored shows as well as one that is stored
and not told again.
"""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.domain import executions
from orchestrator.recall import told_again
from scheduler.domain import recall as scheduler_recall
from scheduler.domain.model import Outcome, TaskState
from scheduler.domain.recall import Known
from schemas.cloudevents import wrap
from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned, ExecutionStarted, LogSummary
from schemas.questions import Overdue
from schemas.states import ExecutionStatus, Reason
from shared.ids import new_id
from worker_manager.domain import recall as worker_manager_recall
from worker_manager.domain.recall import KnownExecution
from worker_manager.domain.reports import fold

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
IDS = {name: new_id() for name in ("execution_id", "task_id", "job_id", "worker_id", "incarnation")}
STOPPED = ExecutionLost(
    **IDS, attempt=1, detail="its worker was removed", reason=Reason.WORKER_STOPPED, lost_at=NOON, worker_name=None
)

Fact = ExecutionStarted | ExecutionFinished | ExecutionLost | ExecutionReturned

_ids = st.fixed_dictionaries(
    {name: st.just(id) for name, id in IDS.items()}
    | {
        "attempt": st.integers(1, 9),
        "worker_name": st.none() | st.text(max_size=9),
        "labels": st.none() | st.dictionaries(st.text(max_size=9), st.text(max_size=9), min_size=1, max_size=2),
    }
)
_moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
_words = st.text(min_size=1, max_size=20)
_losses = st.builds(
    lambda ids, **rest: ExecutionLost(**ids, **rest),
    _ids,
    reason=st.sampled_from([Reason.LOST, Reason.WORKER_STOPPED]),
    detail=_words,
    lost_at=_moments,
)
_ends = st.builds(
    lambda ids, **rest: ExecutionFinished(**ids, **rest),
    _ids,
    status=st.sampled_from([one for one in ExecutionStatus if one not in ("pending", "running", "lost")]),
    reason=st.none() | st.sampled_from([one for one in Reason if one is not Reason.RETURNED]),
    detail=st.none() | _words,
    exit_code=st.none() | st.integers(0, 255),
    started_at=st.none() | _moments,
    finished_at=_moments,
    log=st.builds(LogSummary, chunks=st.integers(0, 9), truncated=st.booleans()),
)
_returns = st.builds(lambda ids, detail: ExecutionReturned(**ids, detail=detail), _ids, _words)
_starts = st.builds(lambda ids, at: ExecutionStarted(**ids, started_at=at), _ids, _moments)


def _overdue(fact: Fact, status: str) -> Overdue:
    ids = {name: getattr(fact, name) for name in (*IDS, "attempt")}
    return Overdue.model_validate(ids | {"status": status})


def _by_worker_manager(fact: Fact) -> Iterator[EventData]:
    [report] = fold([wrap(fact, id=new_id(), source="/hodei/test", time=NOON)]).reports
    names = [field.name for field in dataclasses.fields(KnownExecution) if field.name != "id"]
    row = KnownExecution(id=report.execution_id, **{name: getattr(report, name) for name in names})
    return worker_manager_recall.events([row], _overdue(fact, "scheduled"))


def _by_orchestrator(fact: ExecutionFinished | ExecutionLost) -> Iterator[EventData]:
    [row] = executions.fold([fact])
    row.labels = fact.labels  # from the task's row
    return told_again([_overdue(fact, "running")], {row.id: row})


def _by_scheduler(fact: ExecutionFinished | ExecutionLost) -> Iterator[EventData]:
    known = Known(
        fact.task_id,
        fact.job_id,
        fact.attempt,
        "step",
        TaskState.DONE,
        execution_id=fact.execution_id,
        outcome=Outcome.LOST if isinstance(fact, ExecutionLost) else Outcome(fact.status.value),
        report=fact.model_dump_json(exclude_none=True),
    )
    return scheduler_recall.events(known, _overdue(fact, "running"))


@settings(max_examples=40)
@given(_losses | _ends)
@example(STOPPED)
def test_an_ending_is_recalled_by_every_service_as_it_was(fact: ExecutionFinished | ExecutionLost) -> None:
    recalls: list[Callable[[ExecutionFinished | ExecutionLost], Iterator[EventData]]]
    recalls = [_by_worker_manager, _by_orchestrator, _by_scheduler]
    for recall in recalls:
        assert list(recall(fact)) == [fact], recall.__name__


@settings(max_examples=40)
@given(_starts | _returns)
def test_a_start_and_a_return_are_recalled_by_the_worker_manager_as_they_were(
    fact: ExecutionStarted | ExecutionReturned,
) -> None:
    assert list(_by_worker_manager(fact)) == [fact]
