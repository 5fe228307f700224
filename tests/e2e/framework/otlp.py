"""A small collector: takes spans as OTLP over HTTP (protobuf) on loopback, and lets a test wait for whole traces."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Value = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """One span as it arrived. Times are nanoseconds since 1970; `error` is its status' message, None without one."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: int
    end: int
    attributes: Mapping[str, Value]
    events: tuple[str, ...]
    error: str | None

    def within(self, other: Span) -> bool:
        """Whether it happened while the other one did."""
        return self.begins_within(other) and self.end <= other.end

    def begins_within(self, other: Span) -> bool:
        """Whether it began while the other one was under way, and ended after that."""
        return other.start <= self.start <= min(self.end, other.end)


@dataclass(frozen=True)
class Trace:
    """The spans of one trace, in the order of their beginnings."""

    spans: tuple[Span, ...]

    @property
    def names(self) -> Counter[str]:
        return Counter(span.name for span in self.spans)

    def all(self, name: str, **attributes: Value) -> list[Span]:
        """The spans of a name; `attempt=2` stands for the attribute `hodei.attempt`."""
        wanted = {f"hodei.{key}": value for key, value in attributes.items()}
        return [span for span in self.spans if span.name == name and wanted.items() <= span.attributes.items()]

    def one(self, name: str, **attributes: Value) -> Span:
        """The only span of a name with these attributes."""
        found = self.all(name, **attributes)
        assert len(found) == 1, f"{len(found)} spans are {name} {attributes}:\n{self}"
        return found[0]

    def parent(self, span: Span) -> Span | None:
        """The span above; None for one whose parent is not ours."""
        return next((one for one in self.spans if one.span_id == span.parent_id), None)

    def __str__(self) -> str:
        names = {span.span_id: span.name for span in self.spans}
        return "\n".join(
            f"  {span.name} [{span.service}] below {names.get(span.parent_id, span.parent_id)}: {dict(span.attributes)}"
            for span in self.spans
        )


class Collector:
    """What has arrived so far. `url` is its OTLP endpoint."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self._arrived = threading.Condition()

    def take(self, body: bytes) -> None:
        """An export request arrived."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            for resource in request.resource_spans:
                service = str(_attributes(resource.resource.attributes)["service.name"])
                for scope in resource.scope_spans:
                    self.spans += [_span(span, service) for span in scope.spans]
            self._arrived.notify_all()

    def trace(self, trace_id: str) -> Trace:
        """What has arrived of a trace."""
        return Trace(tuple(sorted((s for s in self.spans if s.trace_id == trace_id), key=lambda s: s.start)))

    async def job(self, job_id: str, *, spans: Mapping[str, int], within: float = 20.0) -> Trace:
        """The trace of a job, once it has at least so many spans of each name. Raises AssertionError."""
        trace = Trace(())

        def complete() -> bool:
            nonlocal trace
            trace_id = next((s.trace_id for s in self.spans if s.attributes.get("hodei.job_id") == job_id), None)
            trace = self.trace(trace_id) if trace_id else trace
            return Counter(spans) <= trace.names

        def wait() -> bool:
            with self._arrived:
                return self._arrived.wait_for(complete, within)

        assert await asyncio.to_thread(wait), f"not {dict(spans)} within {within:g} s:\n{trace}"
        return trace


@contextmanager
def collector() -> Iterator[Collector]:
    """Listen on a free loopback port."""
    taken = Collector()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(taken.take))
    server.daemon_threads = True
    taken.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(take: Callable[[bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if right:
                take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if right else 400)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests' output is not the place."""

    return Handler


def _span(span: WireSpan, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(event.name for event in span.events),
        error=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
