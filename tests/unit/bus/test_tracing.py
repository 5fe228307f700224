"""The trace context: what comes in goes out, and spans only when tracing is on."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.tracing import Tracing, continued, inject, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


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


async def test_while_on_spans_are_exported_with_parents_and_links() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    with tracing.span("outer", parent=PARENT), tracing.span("inner", links=[PARENT, PARENT, None]):
        assert (inject() or "").startswith(f"00-{TRACE}-")
    await tracing.stop()
    inner, outer = exporter.get_finished_spans()
    assert outer.parent is not None
    assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert len(inner.links) == 1


async def test_while_on_an_error_marks_the_span() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", exporter=exporter)
    with pytest.raises(KeyError), tracing.span("work"):
        raise KeyError("missing")
    await tracing.stop()
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def test_while_off_the_sdk_is_not_even_imported() -> None:
    script = "import sys, shared.tracing; shared.tracing.Tracing('x'); print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "False"
