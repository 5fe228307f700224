"""The middleware around every request: request id, door, guard, load limit, errors, metrics, access log, span.

It is one middleware rather than six, because each one costs a coroutine and a few look-ups on every request. Headers
are set when a response is about to be sent, so that streams and refusals carry them too. Not here: how an error looks
(`problems`), which pages and hosts are admitted (`door`), who may call what (`guard`) and what a route needs (`api`).
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Final

import structlog
from aiohttp import web
from opentelemetry.trace import Status, StatusCode
from prometheus_client import Counter, Histogram

from schemas.rest.audit import AuditOutcome
from shared.access import CALL, Call, calling
from shared.errors import Forbidden, Overloaded, Unauthorized
from shared.telemetry import CALLER, TRACEPARENT, TRACESTATE, Metrics, SpanKind, Tracing
from shared.web.door import Door
from shared.web.guard import Guard
from shared.web.load import KIND, Load, RequestKind
from shared.web.problems import problem_response
from shared.web.request_id import HEADER, request_id

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNMATCHED: Final = "unmatched"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_SENT: Final = web.RequestKey("sent", web.StreamResponse)

Refused = Callable[[Call, AuditOutcome], None]
"""Called with each call that is refused with 401 or 403."""


BODY: Final = "body"
"""The limit of a request's body, as a label of metrics."""


class LimitMetrics:
    """The metrics of a process's limits, each by its name: the limit, what of it is in use, and the requests that were
    turned away."""

    def __init__(self, metrics: Metrics) -> None:
        self._limit = metrics.gauge(
            "limit", "The most that this process accepts at the same time, by limit.", ["limit"]
        )
        self._in_use = metrics.gauge("limit_in_use", "What of a limit is in use, by limit.", ["limit"])
        self._turned_away = metrics.counter(
            "requests_turned_away_total",
            "Requests that were turned away because a limit was reached, by limit: with 429, or with 413 (body).",
            ["limit"],
        )
        self._turned_away.labels(BODY)

    def watch(self, name: str, limit: int, in_use: Callable[[], float]) -> None:
        """Show a limit; `in_use` is called at each scrape."""
        self._limit.labels(name).set(limit)
        self._in_use.labels(name).set_function(in_use)
        self._turned_away.labels(name)

    def turned_away(self, name: str) -> None:
        """Count a request that was turned away because this limit was reached."""
        self._turned_away.labels(name).inc()


class RequestMetrics:
    """Rate, errors and duration by route template; labels are looked up once per combination."""

    def __init__(self, metrics: Metrics, load: Load) -> None:
        self._requests = metrics.counter("http_requests_total", "Requests answered.", ("method", "route", "status"))
        self._seconds = metrics.histogram(
            "http_request_duration_seconds",
            "Time from the head of the request to the end of the response, in seconds.",
            ("method", "route"),
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        in_flight = metrics.gauge("http_requests_in_flight", "Requests being handled.")
        in_flight.set_function(lambda: load.active)
        waiting = metrics.gauge("http_requests_waiting", "Event streams and long polls that are open.")
        waiting.set_function(lambda: load.waiting + load.streams)
        self.limits = LimitMetrics(metrics)
        limits = load.limits
        self.limits.watch(RequestKind.SUBMISSION, limits.submissions, lambda: load.submissions)
        self.limits.watch(RequestKind.READ, limits.reads, lambda: load.active)
        self.limits.watch(RequestKind.OTHER, limits.requests, lambda: load.active)
        self.limits.watch("streams", limits.streams, lambda: load.streams)
        self.limits.watch("waiting_requests", limits.waiting, lambda: load.waiting)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if method in _METHODS else "OTHER", route, status)
        children = self._children.get(key)
        if children is None:
            children = (self._requests.labels(*key), self._seconds.labels(*key[:2]))
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)


class Edge:
    """The middleware. `system_routes` are always answered, and logged at debug level only. `kinds` says what requests
    count as, by method and route; those that are not in it are reads. `refused` is called with each call that is
    refused with 401 or 403 while access is on."""

    def __init__(
        self,
        *,
        door: Door,
        guard: Guard,
        load: Load,
        metrics: RequestMetrics,
        system_routes: Set[str],
        kinds: Mapping[tuple[str, str], RequestKind],
        tracing: Tracing | None = None,
        refused: Refused | None = None,
    ) -> None:
        self._refused = refused
        self._door = door
        self._guard = guard
        self._load = load
        self._metrics = metrics
        self._system_routes = system_routes
        self._kinds = kinds
        self._tracing = tracing
        self._log = structlog.stdlib.get_logger("hodei.access")

    def install(self, app: web.Application) -> None:
        """Add the middleware to `app`."""

        @web.middleware
        async def edge(request: web.Request, handler: Endpoint) -> web.StreamResponse:
            return await self._around(request, handler)

        app.middlewares.append(edge)
        app.on_response_prepare.append(self._finish_headers)

    def refuse(self, request: web.BaseRequest, error: Exception) -> web.Response:
        """The response to a request that reaches no handler. It is counted and logged like any other."""
        method = request.method if request.method in _METHODS else "OTHER"
        _begin_lines(request)
        response = problem_response(request, error)
        response.headers[HEADER] = request_id(request)
        response.headers["Server"] = "hodei"
        self._metrics.observe(method, UNMATCHED, response.status, 0.0)
        self._log.info(
            "http_request",
            method=method,
            route=UNMATCHED,
            path=request.rel_url.raw_path,
            status=response.status,
            duration_ms=0.0,
        )
        return response

    async def _around(self, request: web.Request, handler: Endpoint) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = UNMATCHED if resource is None else resource.canonical
        if self._tracing is None or route in self._system_routes:
            return await self._told(request, handler, route)
        parent = request.headers.get(TRACEPARENT)
        if parent is None and not self._tracing.enabled:
            return await self._told(request, handler, route)
        return await self._traced(self._tracing, request, handler, route, parent)

    async def _traced(
        self, tracing: Tracing, request: web.Request, handler: Endpoint, route: str, parent: str | None
    ) -> web.StreamResponse:
        """Answer in a span of the client's trace, or of a new one; the log line and the problem document carry it."""
        method = request.method if request.method in _METHODS else "OTHER"
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "url.path": request.rel_url.raw_path,
            "hodei.request_id": request_id(request),
        }
        state = request.headers.get(TRACESTATE) if parent else None
        with tracing.span(
            f"{method} {route}", parent=parent, state=state, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            response = await self._told(request, handler, route)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                span.set_attribute("error.type", str(response.status))
                span.set_status(Status(StatusCode.ERROR))
        return response  # outside, because to mypy a span may swallow an exception

    async def _told(self, request: web.Request, handler: Endpoint, route: str) -> web.StreamResponse:
        began = self._load.last_request = time.perf_counter()
        _begin_lines(request)
        status = 499  # the client went away before there was an answer
        try:
            response = await self._answer(request, handler, route)
            status = response.status
        finally:
            seconds = time.perf_counter() - began
            self._metrics.observe(request.method, route, status, seconds)
            log = self._log.debug if route in self._system_routes else self._log.info
            log(
                "http_request",
                method=request.method,
                route=route,
                path=request.rel_url.raw_path,
                status=status,
                duration_ms=round(seconds * 1000, 3),
            )
        return response

    async def _answer(self, request: web.Request, handler: Endpoint, route: str) -> web.StreamResponse:
        if self._guard.on:
            CALL.set(None)  # nothing is left of an earlier request, even if they shared their context
        try:
            self._door.admit(request)
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return self._door.preflight(request)
            self._guard.admit(request, route)
            if route in self._system_routes:
                return await handler(request)
            kind = self._kinds.get((request.method, route), RequestKind.READ)
            self._load.enter(kind)
            request[KIND] = kind
            try:
                response = await handler(request)
            finally:
                self._load.leave(kind)
            call = calling()
            if call is not None and call.refused and self._refused is not None:
                self._refused(call, AuditOutcome.FORBIDDEN)
            return response
        except Exception as error:  # the one place where every error becomes a response
            if isinstance(error, web.HTTPException) and error.status < 400:
                raise
            if isinstance(error, Unauthorized | Forbidden):
                self._note_refused(request, route, error)
            if isinstance(error, Unauthorized) and error.wrong:
                error = await self._slowed_down(request, error)
            response = problem_response(request, error)
            if isinstance(error, Overloaded):
                self._metrics.limits.turned_away(error.kind)
            elif isinstance(error, web.HTTPRequestEntityTooLarge):
                self._metrics.limits.turned_away(BODY)
            sent: web.StreamResponse | None = request.get(_SENT)
            if sent is None:
                return response
            # A part of the response has been sent. Cutting the connection shows the client that it is incomplete.
            if request.transport is not None:
                request.transport.close()
            return sent

    def _note_refused(self, request: web.Request, route: str, error: Exception) -> None:
        if self._refused is not None and self._guard.on:
            outcome = AuditOutcome.UNAUTHORIZED if isinstance(error, Unauthorized) else AuditOutcome.FORBIDDEN
            self._refused(calling() or self._guard.call(request, route), outcome)

    async def _slowed_down(self, request: web.Request, refused: Unauthorized) -> Exception:
        """The error to answer, after the pause that its client has earned."""
        try:
            await self._guard.slow_down(request)
        except Overloaded as error:
            return error
        return refused

    async def _finish_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        request[_SENT] = response
        response.headers[HEADER] = request_id(request)
        response.headers["Server"] = "hodei"
        if self._load.draining:
            response.force_close()
            response.headers["Connection"] = "close"
        self._door.finish(request, response)


def _begin_lines(request: web.BaseRequest) -> None:
    """Let the following log lines be of this request, and of no earlier one, even if they shared their context."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    CALLER.set(None)
