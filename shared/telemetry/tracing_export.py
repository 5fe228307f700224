"""The part of tracing that needs the OpenTelemetry SDK: making spans and exporting them as OTLP over HTTP.

Imported only if tracing is on. The process that begins a trace decides by the ratio whether it is sampled. The decision
travels in the flags of `traceparent`, and all other processes follow it. So a sampled trace is complete, and a
collector may select among complete traces by their outcome (tail sampling).
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
"""Spans kept for a slow or unavailable collector; beyond it the oldest are dropped and a warning is logged."""


class _Ids(RandomIdGenerator):
    """Random ids, except for a span whose id is chosen."""

    chosen = 0

    def generate_span_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or super().generate_span_id()


class Exporting:
    """The SDK's parts of one process. `tracer` makes spans; a thread exports them in batches."""

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
        """A span that began at `start` (nanoseconds since 1970). With `span_id` 0 it gets a random id."""
        self._ids.chosen = span_id
        return self.tracer.start_span(name, parent, kind=kind, attributes=attributes, start_time=start)

    def shut_down(self) -> None:
        """Export buffered spans. May take half a minute if the collector is unavailable."""
        self._provider.shutdown()
