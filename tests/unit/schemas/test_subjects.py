"""The subjects of reports and logs name the worker, and what an agent publishes there must be its own."""

from datetime import UTC, datetime

import pytest

from schemas.cloudevents import CloudEvent, ForeignEvents, MalformedEvents, decode_batch, encode_batch, source_of, wrap
from schemas.events import EventData, ExecutionStarted, LogChunk
from schemas.subjects import EVENTS, LOGS, ORCHESTRATOR_RUNS, REPORTS, Catalogue

CATALOGUE = Catalogue("ours")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKER, OTHER = "w1", "w2"
EXECUTION, OF = "01a20000-0000-7000-8000-00000000000e", "01a20000-0000-7000-8000-000000000001"


def started(worker_id: str = WORKER, **envelope: str) -> CloudEvent[EventData]:
    data = ExecutionStarted(
        execution_id=EXECUTION, task_id=OF, job_id=OF, attempt=1, worker_id=worker_id, incarnation=OF, started_at=NOON
    )
    event = wrap(data, id="1", source=envelope.get("source", source_of(WORKER)), time=NOON)
    return event if "subject" not in envelope else CloudEvent(**{**vars_of(event), "subject": envelope["subject"]})


def vars_of(event: CloudEvent[EventData]) -> dict[str, object]:
    return {name: getattr(event, name) for name in CloudEvent.__slots__}


@pytest.mark.parametrize("event_type", REPORTS)
def test_a_report_has_a_subject_for_each_worker_and_one_for_services(event_type: str) -> None:
    assert CATALOGUE.events(event_type) == [f"ours.{event_type}", f"ours.{event_type}.*"]
    assert CATALOGUE.event_type(CATALOGUE.report(event_type, WORKER)) == event_type
    assert CATALOGUE.worker(CATALOGUE.report(event_type, WORKER)) == WORKER
    assert CATALOGUE.worker(CATALOGUE.event(event_type)) is None
    assert f"{event_type}.*" in EVENTS.subjects


def test_other_events_have_one_subject() -> None:
    assert CATALOGUE.events("executions.lost") == ["ours.executions.lost"]
    assert CATALOGUE.event_type("ours.executions.lost") == "executions.lost"
    assert CATALOGUE.worker("ours.executions.lost") is None
    assert not any(subject.startswith("executions.lost") for subject in EVENTS.subjects)


def test_a_consumer_takes_reports_of_agents_and_of_services() -> None:
    filters = CATALOGUE.filters(ORCHESTRATOR_RUNS)
    assert {"ours.executions.finished", "ours.executions.finished.*", "ours.tasks.scheduled"} <= set(filters)
    assert "ours.tasks.scheduled.*" not in filters


def test_a_log_names_its_execution_and_its_worker() -> None:
    subject = CATALOGUE.logs("e", WORKER)
    assert subject == "ours.logs.e.w1"
    assert (CATALOGUE.event_type(subject), CATALOGUE.worker(subject)) == (LogChunk.event_type, WORKER)
    assert (CATALOGUE.event_type("ours.logs.e"), CATALOGUE.worker("ours.logs.e")) == (LogChunk.event_type, None)
    assert CATALOGUE.all_logs("e") == ["ours.logs.e.*", "ours.logs.e"]
    assert set(LOGS.subjects) == {"logs.*.*", "logs.*"}


def test_messages_of_an_earlier_version_get_the_worker_added() -> None:
    assert CATALOGUE.of_worker("ours.executions.finished", WORKER) == "ours.executions.finished.w1"
    assert CATALOGUE.of_worker("ours.logs.e", WORKER) == "ours.logs.e.w1"
    assert CATALOGUE.of_worker("ours.logs.e.w1", WORKER) == "ours.logs.e.w1"
    assert CATALOGUE.of_worker("ours.executions.lost", WORKER) == "ours.executions.lost"


def test_a_worker_is_believed_about_itself() -> None:
    [event] = decode_batch("executions.started", encode_batch([started()]), WORKER)
    assert event.data.entity_id() == EXECUTION


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(started(OTHER), id="of another worker"),
        pytest.param(started(source=source_of(OTHER)), id="signed by another worker"),
        pytest.param(started(source="/hodei/worker_manager"), id="signed by a service"),
        pytest.param(started(subject="e2"), id="about another execution than its data"),
    ],
)
def test_a_batch_with_an_event_of_another_is_refused_whole(event: CloudEvent[EventData]) -> None:
    batch = encode_batch([started(), event])
    with pytest.raises(ForeignEvents):
        decode_batch("executions.started", batch, WORKER)
    assert len(decode_batch("executions.started", batch)) == 2, "services may report of any worker"


def test_what_is_not_a_batch_is_malformed_on_any_subject() -> None:
    with pytest.raises(MalformedEvents) as caught:
        decode_batch("executions.started", b"[{}]", WORKER)
    assert not isinstance(caught.value, ForeignEvents)
