"""OpenTelemetry tracing of one process, off unless an endpoint is configured, and the W3C trace context in messages.

Here: `Tracing`, the spans of this process, and functions that inject the current trace context into a message and
extract it. Not here: which spans there are; their code is where they happen (docs/tracing.md). While tracing is off the
SDK is not imported (it costs memory in every process), a span costs one function call, and an incoming `traceparent` is
still passed on.

There are two kinds of spans. `span` runs around a block of code, for a request. `record` writes a span after the fact,
for a phase of an entity's life across batches, transactions and processes: it begins at a recorded time and ends when
the change is committed. Its id may be derived from the entity (`within`). So a process that knows the entity can use
the span as a parent, before or after it is written, and a repeated record gives the same span id.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeGuard

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from shared.telemetry.tracing_export import Exporting

__all__ = [
    "TRACEPARENT",
    "TRACESTATE",
    "SpanKind",
    "Tracing",
    "continued",
    "extract",
    "inject",
    "trace_id",
    "tracestate",
]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
STOP_PATIENCE: Final = 2.0
"""Seconds that a stopping process waits for the collector."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = frozenset("13579bdf")
"""The last hex digit of a `traceparent` whose trace is sampled (bit 0 of the flags)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Attribute = str | int | float | bool

_log = structlog.get_logger(__name__)


def inject() -> str | None:
    """The `traceparent` of the current span, for messages; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def tracestate() -> str | None:
    """The `tracestate` of the current trace, as it was received; None if there is none."""
    return trace.get_current_span().get_span_context().trace_state.to_header() or None


def extract(traceparent: str | None, tracestate: str | None = None) -> otel_context.Context:
    """The context of a received `traceparent`; the empty context if it is missing or malformed."""
    if not traceparent:
        return otel_context.Context()
    carrier = {TRACEPARENT: traceparent, TRACESTATE: tracestate} if tracestate else {TRACEPARENT: traceparent}
    return _PROPAGATOR.extract(carrier, context=otel_context.Context())


def trace_id() -> str | None:
    """The id of the current trace as 32 hex digits, for log lines; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id in a `traceparent`; None if it is malformed."""
    found = _FORM.fullmatch(traceparent) if traceparent else None
    return found[1] if found else None


def common(traceparents: Sequence[str | None]) -> str | None:
    """The trace context that all of these share, None if they differ; for a message with several events."""
    first = traceparents[0] if traceparents else None
    return first if first is not None and all(one == first for one in traceparents) else None


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Run the block in the trace of `traceparent`, without a span of its own."""
    token = otel_context.attach(extract(traceparent))
    try:
        yield
    finally:
        otel_context.detach(token)


class Tracing:
    """The spans of one process; a service (start/stop), so that buffered spans are exported at the end.

    `endpoint` is an OTLP/HTTP base URL (`http://host:4318`); None leaves tracing off. `sample` is the share of new
    traces that are recorded, 0 to 1; an incoming trace keeps its sampling decision. `exporter` replaces the OTLP
    exporter, for tests.
    """

    name = "tracing"

    def __init__(
        self,
        service: str,
        *,
        endpoint: str | None = None,
        sample: float = 1.0,
        version: str = "",
        exporter: "SpanExporter | None" = None,
    ) -> None:
        self._exporting: Exporting | None = None
        self._tracer: trace.Tracer | None = None
        if endpoint or exporter:
            from shared.telemetry import tracing_export

            self._exporting = tracing_export.Exporting(
                service, version=version, sample=sample, endpoint=endpoint or "", exporter=exporter
            )
            self._tracer = self._exporting.tracer

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    async def start(self) -> None:
        """Nothing to do: the exporter connects when it first has spans to send."""

    async def stop(self) -> None:
        """Export buffered spans, for at most STOP_PATIENCE seconds: the collector may be unavailable."""
        if self._exporting is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        exporting = self._exporting

        def shut_down() -> None:
            exporting.shut_down()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        Thread(target=shut_down, name="tracing shutdown", daemon=True).start()  # daemon: the exit does not wait for it
        try:
            async with asyncio.timeout(STOP_PATIENCE):
                await done.wait()
        except TimeoutError:
            _log.warning("tracing.not_exported", error=f"not taken within {STOP_PATIENCE:g} s")

    # ---------------------------------------------------------------- around a block

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        state: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Iterator[Span]:
        """Run the block in a span. `parent` is a `traceparent` and `state` its `tracestate`; the default is the current
        span.

        While tracing is off this only continues the parent, so that messages still carry an incoming trace. An
        exception marks the span as failed and propagates.
        """
        if self._tracer is None:
            if parent is None:
                yield trace.INVALID_SPAN
            else:
                token = otel_context.attach(extract(parent, state))
                try:
                    yield trace.INVALID_SPAN
                finally:
                    otel_context.detach(token)
            return
        with self._tracer.start_as_current_span(
            name,
            context=extract(parent, state) if parent else None,
            kind=kind,
            attributes=attributes,
        ) as span:
            yield span

    # ---------------------------------------------------------------- after the fact

    def records(self, traceparent: str | None) -> TypeGuard[str]:
        """Whether this process writes spans of the trace of `traceparent`: tracing is on and the trace is sampled."""
        return self._tracer is not None and traceparent is not None and traceparent[-1:] in _SAMPLED

    def within(self, parent: str, *key: str | int) -> str:
        """The context of the span with an id derived from `key`, in the trace of `parent`. It is `parent` itself if
        that span will not be written, because tracing is off or the trace is not sampled.
        """
        if not self.records(parent) or (found := _FORM.fullmatch(parent)) is None:
            return parent
        return f"00-{found[1]}-{_span_id(key):016x}-{found[3]}"

    def record(
        self,
        name: str,
        *,
        parent: str,
        start: datetime,
        end: datetime,
        context: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Attribute | None] | None = None,
        error: str | None = None,
        events: Mapping[str, datetime | None] | None = None,
    ) -> None:
        """Write a span in the trace of `parent`, if that is valid and sampled.

        `context`, made by `within`, gives the span its derived id, for spans that are parents of others. Attributes and
        events without a value are left out. `error` marks the span as failed, with this text.
        """
        above = _parsed(parent) if self.records(parent) else None
        if self._exporting is None or above is None:
            return
        own = _parsed(context)
        span = self._exporting.begin(
            name,
            trace.set_span_in_context(NonRecordingSpan(above), otel_context.Context()),
            span_id=0 if own is None else own.span_id,
            kind=kind,
            attributes={key: value for key, value in (attributes or {}).items() if value is not None},
            start=_nanoseconds(start),
        )
        for said, at in (events or {}).items():
            if at is not None:
                span.add_event(said, timestamp=_nanoseconds(at))
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(_nanoseconds(max(start, end)))


def _span_id(key: tuple[str | int, ...]) -> int:
    """A span id that is always the same for this key, and never zero, which is invalid."""
    return int.from_bytes(blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()) or 1


def _parsed(traceparent: str | None) -> SpanContext | None:
    found = _FORM.fullmatch(traceparent) if traceparent else None
    if found is None:
        return None
    context = SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16))
    )
    return context if context.is_valid else None


def _nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970, without float rounding, so that a child never seems to begin before its parent."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
