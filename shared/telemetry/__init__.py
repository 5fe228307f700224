"""Observability of a process: logs, metrics, traces, and the lag of its event loop.

Other packages import from here; the modules inside are private.
"""

from shared.telemetry.event_loop import EventLoopLag
from shared.telemetry.line_pace import LinePace
from shared.telemetry.log_output import LogOutput
from shared.telemetry.logging import CALLER, configure_logging
from shared.telemetry.metrics import SIZES, Declared, Metrics
from shared.telemetry.metrics_told import ToldCounter
from shared.telemetry.tracing import (
    TRACEPARENT,
    TRACESTATE,
    Attribute,
    SpanKind,
    Tracing,
    common,
    continued,
    inject,
    trace_id,
    trace_id_of,
    tracestate,
)

__all__ = [
    "CALLER",
    "SIZES",
    "TRACEPARENT",
    "TRACESTATE",
    "Attribute",
    "Declared",
    "EventLoopLag",
    "LinePace",
    "LogOutput",
    "Metrics",
    "SpanKind",
    "ToldCounter",
    "Tracing",
    "common",
    "configure_logging",
    "continued",
    "inject",
    "trace_id",
    "trace_id_of",
    "tracestate",
]
