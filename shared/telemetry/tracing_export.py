"""What of tracing needs the OpenTelemetry SDK: making spans and sending them as OTLP over HTTP.

Imported only where tracing is on. The decision whether a trace is recorded is made once, where the trace begins, by
the ratio, and travels in the flags of `traceparent`; everybody else obeys it. So a sampled trace is whole, and a
collector that chooses among whole traces by their outcome (tail sampling) has something to choose from.
"""

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Tracer

EXPORT_EVERY_MS: Final = 1000
EXPORT_TIMEOUT: Final = 5.0
QUEUE: Final = 16_384
"""Spans kept for a collector that is slow or away; beyond it the oldest are dropped, and the log says so."""


class _Ids(RandomIdGenerator):
    """Random ids, but for a span whose id is chosen."""

    chosen = 0

    def generate_span_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or super().generate_span_id()


class Exporting:
    """The SDK's parts of one process. `tracer` makes spans; they leave in batches, in a thread of their own."""

    def __init__(
        self, service: str, *, version: str, sample: float, endpoint: str, exporter: SpanExporter | None = None
    ) -> None:
        if exporter is None:
            exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT)
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)),
            resource=Resource.create({"service.name": f"hodei-{service}", "service.version": version}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE, schedule_delay_millis=EXPORT_EVERY_MS)
        )
        self.tracer: Tracer = self._provider.get_tracer("hodei")

    def begin(
        self,
        name: str,
        parent: Context,
        *,
        span_id: int,
        kind: SpanKind,
        attributes: Mapping[str, str | int | float | bool],
        start: int,
    ) -> Span:
        """A span that began at `start` (nanoseconds since 1970); `span_id` 0 leaves its id to chance."""
        self._ids.chosen = span_id
        return self.tracer.start_span(name, parent, kind=kind, attributes=attributes, start_time=start)

    def shut_down(self) -> None:
        """Export what is buffered. May take half a minute when the collector is away."""
        self._provider.shutdown()
