"""OpenTelemetry tracing of one process, off unless an endpoint is named, and the W3C trace context on the
wire.

Here: `Tracing` (the tracer and its exporter) and the two functions that put the current trace context into a
message and take it out again. Not here: what is worth a span; that is written by hand where it happens.
While tracing is off the SDK is not even imported (it costs memory in every process), a span costs one
function call, and a `traceparent` that came in from outside is still passed on.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

TRACEPARENT: Final = "traceparent"

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_MAX_LINKS: Final = 16

Attribute = str | int | float | bool


def inject() -> str | None:
    """The `traceparent` of the span we are in, to be sent along; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def extract(traceparent: str | None) -> otel_context.Context:
    """The context that a received `traceparent` names; the empty context when there is none, or it is
    malformed.
    """
    if not traceparent:
        return otel_context.Context()
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, context=otel_context.Context())


def trace_id() -> str | None:
    """The id of the trace we are in, as 32 hex digits, for log lines; None outside any trace."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Work inside the trace that `traceparent` names, without a span of our own."""
    token = otel_context.attach(extract(traceparent))
    try:
        yield
    finally:
        otel_context.detach(token)


class Tracing:
    """The tracer of one service process; a service (start/stop) so that what is buffered is exported at the
    end.

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
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer | None = None
        if endpoint or exporter:
            self._provider = _provider(service, version, sample, endpoint or "", exporter)
            self._tracer = self._provider.get_tracer("hodei")

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    async def start(self) -> None:
        """Nothing to do: the exporter connects when it first has something to send."""

    async def stop(self) -> None:
        """Export what is still buffered, within the exporter's own deadline."""
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        links: Sequence[str | None] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Iterator[Span]:
        """Run the block in a span. `parent` and `links` are `traceparent`s; without a parent the current
        one holds.

        While tracing is off this only continues the parent, so that an outside trace is passed on to what
        we send. An exception leaves the span marked as failed and goes on up.
        """
        if self._tracer is None:
            if parent is None:
                yield trace.INVALID_SPAN
            else:
                with continued(parent):
                    yield trace.INVALID_SPAN
            return
        with self._tracer.start_as_current_span(
            name,
            context=extract(parent) if parent else None,
            kind=kind,
            links=_links(links),
            attributes=attributes,
        ) as span:
            yield span


def _links(traceparents: Sequence[str | None]) -> list[Link]:
    """One link per distinct trace, a bounded number: a batch of hundreds needs no hundred links."""
    distinct = list(dict.fromkeys(traceparent for traceparent in traceparents if traceparent))
    contexts = (trace.get_current_span(extract(one)).get_span_context() for one in distinct[:_MAX_LINKS])
    return [Link(context) for context in contexts if context.is_valid]


def _provider(
    service: str, version: str, sample: float, endpoint: str, exporter: "SpanExporter | None"
) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample)),
        resource=Resource.create({"service.name": f"hodei-{service}", "service.version": version}),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
