"""OpenTelemetry tracing of one process, off unless an endpoint is named, and the W3C trace context on the
wire.

Here: `Tracing`, the spans of this process, and the functions that put the current trace context into a message and
take it out again. Not here: what is worth a span; that is written by hand where it happens (docs/tracing.md).
While tracing is off the SDK is not even imported (it costs memory in every process), a span costs one
function call, and a `traceparent` that came in from outside is still passed on.

There are two kinds of spans. `span` is around a block of code, for a request. `record` writes one down after the
fact, for what happens to an entity across batches, transactions and processes: it begins where somebody noted the
time and ends when the deed is committed. Its id may be derived from what it is of (`within`), so that whoever knows
the entity can name the span as a parent, long before or after it is written, and repetition does not make two of it.
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
"""Seconds that a stopping process gives the collector; a service must end whether or not its spans are wanted."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = frozenset("13579bdf")
"""How the flags of a `traceparent` end when the trace is recorded (bit 0)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Attribute = str | int | float | bool

_log = structlog.get_logger(__name__)


def inject() -> str | None:
    """The `traceparent` of the span we are in, to be sent along; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def tracestate() -> str | None:
    """The `tracestate` of the trace we are in, as its beginner sent it; None when there is none."""
    return trace.get_current_span().get_span_context().trace_state.to_header() or None


def extract(traceparent: str | None, tracestate: str | None = None) -> otel_context.Context:
    """The context that a received `traceparent` names; the empty context when there is none, or it is
    malformed.
    """
    if not traceparent:
        return otel_context.Context()
    carrier = {TRACEPARENT: traceparent, TRACESTATE: tracestate} if tracestate else {TRACEPARENT: traceparent}
    return _PROPAGATOR.extract(carrier, context=otel_context.Context())


def trace_id() -> str | None:
    """The id of the trace we are in, as 32 hex digits, for log lines; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


def trace_id_of(traceparent: str | None) -> str | None:
    """The id of the trace that a `traceparent` names; None when it is malformed."""
    found = _FORM.fullmatch(traceparent) if traceparent else None
    return found[1] if found else None


def common(traceparents: Sequence[str | None]) -> str | None:
    """The one context that all of these are, None when they differ: that of a message with several events."""
    first = traceparents[0] if traceparents else None
    return first if first is not None and all(one == first for one in traceparents) else None


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Work inside the trace that `traceparent` names, without a span of our own."""
    token = otel_context.attach(extract(traceparent))
    try:
        yield
    finally:
        otel_context.detach(token)


class Tracing:
    """The spans of one process; a service (start/stop) so that what is buffered is exported at the end.

    `endpoint` is an OTLP/HTTP base address (`http://host:4318`); None leaves tracing off. `sample` is the
    share of new traces that are recorded, 0 to 1; a trace that arrives with a decision keeps it. `exporter`
    replaces the OTLP exporter, for tests.
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
        """Nothing to do: the exporter connects when it first has something to send."""

    async def stop(self) -> None:
        """Export what is still buffered, for a moment: the collector may be away."""
        if self._exporting is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        exporting = self._exporting

        def shut_down() -> None:
            exporting.shut_down()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        Thread(target=shut_down, name="tracing shutdown", daemon=True).start()  # not to be waited for at exit
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
        """Run the block in a span. `parent` is a `traceparent` and `state` its `tracestate`; without a parent the
        current span is it.

        While tracing is off this only continues the parent, so that an outside trace is passed on to what
        we send. An exception leaves the span marked as failed and goes on up.
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
        """Whether spans of the trace that this names are to be written here."""
        return self._tracer is not None and traceparent is not None and traceparent[-1:] in _SAMPLED

    def within(self, parent: str, *key: str | int) -> str:
        """The context of the span that is of `key`, in the trace of `parent`. Where no such span will be written,
        because tracing is off or the trace is not sampled, it is `parent` itself.
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
        """Write a span of the trace of `parent`, unless it is not sampled or no proper one.

        `context`, made by `within`, is the span's own where others know it as their parent. Attributes and events
        without a value are left out. `error` marks it as failed, and says why.
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
    """Eight bytes that are always the same for this key; not zero, which would be no id."""
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
    """Since 1970, without a float's rounding: a child must not seem to begin before its parent."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
