"""The trace context: what comes in goes out, and spans only when tracing is on and the trace is sampled."""

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry import Tracing, common, continued, inject, trace_id, trace_id_of, tracestate
from shared.telemetry.tracing import STOP_PATIENCE

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"
START = datetime.fromtimestamp(1_000_000_000, UTC) + timedelta(microseconds=1)
END = START + timedelta(seconds=2)


def test_outside_a_trace_nothing_is_sent() -> None:
    assert inject() is None
    assert trace_id() is None


def test_a_received_context_is_passed_on() -> None:
    with continued(PARENT):
        assert inject() == PARENT
        assert trace_id() == TRACE
    assert inject() is None


@pytest.mark.parametrize("malformed", [None, "", "garbage", "00-0-0-00"])
def test_a_malformed_context_is_none(malformed: str | None) -> None:
    with continued(malformed):
        assert inject() is None


def test_while_off_a_span_only_continues_its_parent() -> None:
    tracing = Tracing("test")
    assert not tracing.enabled
    with tracing.span("work", parent=PARENT):
        assert inject() == PARENT


async def test_while_on_spans_are_exported_with_their_parents() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    with tracing.span("outer", parent=PARENT), tracing.span("inner"):
        assert (inject() or "").startswith(f"00-{TRACE}-")
    await tracing.stop()
    inner, outer = exporter.get_finished_spans()
    assert outer.parent is not None
    assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


async def test_while_on_an_error_marks_the_span() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    with pytest.raises(KeyError), tracing.span("work"):
        raise KeyError("missing")
    await tracing.stop()
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


async def test_a_tracestate_stays_with_its_trace() -> None:
    for tracing in (Tracing("off"), Tracing("on", exporter=InMemorySpanExporter())):
        with tracing.span("work", parent=PARENT, state="vendor=value"):
            assert tracestate() == "vendor=value"
        assert tracestate() is None
        await tracing.stop()


def test_while_off_a_derived_context_is_its_parent_and_nothing_is_written() -> None:
    tracing = Tracing("test")
    assert not tracing.records(PARENT)
    assert tracing.within(PARENT, "job", "1") == PARENT
    tracing.record("job", parent=PARENT, start=START, end=END)


@pytest.mark.parametrize("parent", [UNSAMPLED, "garbage", "", PARENT.replace(TRACE, "0" * 32)])
async def test_what_is_not_sampled_or_malformed_is_passed_on_and_not_written(parent: str) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    if parent != PARENT.replace(TRACE, "0" * 32):
        assert tracing.within(parent, "job", "1") == parent
    tracing.record("job", parent=parent, start=START, end=END)
    await tracing.stop()
    assert exporter.get_finished_spans() == ()


async def test_a_span_written_afterwards_stands_where_others_expect_it() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    own = tracing.within(PARENT, "job", "1")
    assert own == tracing.within(own, "job", "1") != tracing.within(PARENT, "job", "2")
    # The child is written first, by somebody who knows the id of the span above only.
    tracing.record("attempt", parent=own, start=START, end=END, attributes={"hodei.attempt": 1, "hodei.reason": None})
    tracing.record(
        "job", parent=PARENT, context=own, start=START, end=END, error="lost", events={"a": START, "b": None}
    )
    await tracing.stop()
    attempt, job = exporter.get_finished_spans()
    assert inject() is None
    assert job.context.trace_id == attempt.context.trace_id == int(TRACE, 16)
    assert attempt.parent is not None
    assert attempt.parent.span_id == job.context.span_id != attempt.context.span_id
    assert job.parent is not None
    assert job.parent.span_id == int("b7ad6b7169203331", 16)
    assert dict(attempt.attributes or {}) == {"hodei.attempt": 1}
    assert (job.start_time, job.end_time) == (1_000_000_000_000_001_000, 1_000_000_002_000_001_000)
    assert (job.status.is_ok, job.status.description) == (False, "lost")
    assert [event.name for event in job.events] == ["a"]


@pytest.mark.parametrize(("sample", "written"), [(0.0, 0), (1.0, 1)])
async def test_only_the_beginning_of_a_trace_draws(sample: float, written: int) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter, sample=sample)
    with tracing.span("root"):
        assert tracing.records(inject()) is bool(written)
    with tracing.span("decided elsewhere", parent=PARENT):
        assert tracing.records(inject())
    await tracing.stop()
    assert len(exporter.get_finished_spans()) == written + 1


def test_a_batch_has_a_trace_when_all_of_it_is_of_one() -> None:
    assert common([]) is None
    assert common([PARENT, PARENT]) == PARENT
    assert common([PARENT, None]) is common([None, PARENT]) is common([PARENT, UNSAMPLED]) is None
    assert trace_id_of(PARENT) == TRACE
    assert trace_id_of("garbage") is trace_id_of(None) is None


def test_a_collector_that_is_away_holds_up_no_stop() -> None:
    with socket.socket() as unheard:  # bound, and not listening: every connection is refused
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        # In a process of its own: that it ends at all is part of the question.
        script = f"""
import asyncio, time
from datetime import datetime, UTC
from shared.telemetry.tracing import Tracing
tracing = Tracing("test", endpoint={endpoint!r})
tracing.record("job", parent={PARENT!r}, start=datetime.now(UTC), end=datetime.now(UTC))
began = time.monotonic()
asyncio.run(tracing.stop())
print(time.monotonic() - began)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert STOP_PATIENCE <= float(done.stdout.splitlines()[-1]) < STOP_PATIENCE + 20


@pytest.mark.parametrize("module", ["orchestrator", "scheduler", "worker_manager", "worker_manager.agent"])
def test_while_off_the_sdk_is_not_even_imported(module: str) -> None:
    script = f"""
import sys
import {module}.app
from shared.telemetry.tracing import Tracing
Tracing("x")
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google."))])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
