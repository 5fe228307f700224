"""The web application of a service, and the server it runs on.

Here: putting the parts of this package together around a service's apis. Not here: the parts, and which apis
there are (each service's app.py).
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from shared.errors import ConfigError
from shared.telemetry import Metrics, Tracing
from shared.web.api import Api
from shared.web.door import Door
from shared.web.health import Check, HealthChecks
from shared.web.load import LOAD, Load
from shared.web.middlewares import Edge, RequestMetrics
from shared.web.openapi import PydanticApiSpec
from shared.web.protocol import ProblemRunner
from shared.web.sse import OPEN_STREAMS, OpenStreams
from shared.web.system import Document, add_assets, system_api

METRICS: Final = web.AppKey("metrics", Metrics)
"""What the application's `/metrics` shows."""
DOCUMENT: Final = web.AppKey("document", Document)
"""What the application's `/openapi.json` shows."""
DOOR: Final = web.AppKey("door", Door)
EDGE: Final = web.AppKey("edge", Edge)


class WebSettings(Protocol):
    """What of a service's settings matters here."""

    @property
    def host(self) -> str: ...
    @property
    def cors_origins(self) -> str: ...
    @property
    def allowed_hosts(self) -> str: ...
    @property
    def body_limit(self) -> int: ...


def create_web_app(
    *,
    title: str,
    version: str,
    service: str,
    settings: WebSettings,
    apis: Sequence[Api],
    checks: Mapping[str, Check],
    metrics: Metrics,
    tracing: Tracing | None = None,
    description: str = "",
    active_limit: int = 1000,
    waiting_limit: int = 1000,
    health_deadline: float = 2.0,
) -> web.Application:
    """An application with every route of `apis` and the system's own.

    `checks` are asked by `/health`, by name; the one called `database` decides about unhealthy.
    `active_limit` bounds the requests worked on at once, `waiting_limit` the event streams and long polls; more
    are answered with 429. Raises ValueError when two handlers have the same name.
    """
    app = web.Application(client_max_size=settings.body_limit)
    load = app[LOAD] = Load(active_limit=active_limit, waiting_limit=waiting_limit)
    streams = app[OPEN_STREAMS] = OpenStreams()
    app.on_shutdown.append(streams.close)
    app[METRICS] = metrics
    door = app[DOOR] = Door(origins=settings.cors_origins, hosts=settings.allowed_hosts, host=settings.host)

    document = app[DOCUMENT] = Document()
    health = HealthChecks(service, version, checks, metrics=metrics, deadline=health_deadline)
    health.draining = lambda: load.draining
    system = system_api(health, metrics, document)
    for api in (*apis, system):
        app.router.add_routes(api.routes)
    add_assets(app)

    edge = app[EDGE] = Edge(
        door=door,
        load=load,
        metrics=RequestMetrics(metrics, load),
        system_routes=frozenset(resource.canonical for resource in app.router.resources())
        - frozenset(route.path for api in apis for route in api.routes),
        tracing=tracing,
    )
    edge.install(app)

    tags = {api.tag: {"name": api.tag, "description": api.description} for api in (*apis, system)}
    spec = PydanticApiSpec(title=title, version=version, description=description, tags=list(tags.values()))
    spec.collect(app)
    document.content = spec.document()
    return app


HEARD_OF: Final = 15.0
"""Seconds for which somebody who has asked anything counts as still there: health checks come more often."""
PATIENCE: Final = 0.8
"""The part of the time for stopping after which requests that wait are answered with 503."""


class _ClientsFault(logging.Filter):
    """What is no HTTP is the client's own fault: said in a line, not as an error of ours with a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
            words = error.message if isinstance(error, HttpProcessingError) else str(error)
            record.msg, record.args = "not HTTP: %s", (words.splitlines()[0] if words else "",)
            record.exc_info = None
        return True


_CLIENTS_FAULT: Final = _ClientsFault()


class WebServer:
    """Serves an application on one address; a service of the process's lifecycle.

    `port` 0 lets the system choose; `port` is the real one once started. A connection that idles is closed after
    `keep_alive` seconds. Draining says that the end is near, and still serves. Stopping closes the door first, ends the
    event streams, answers long polls with what is known, and gives whatever else is being answered `stop_deadline`
    seconds; what does not end then either is cut off after as many again.
    """

    name = "web"

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        keep_alive: float = 75.0,
        stop_deadline: float = 4.0,
    ) -> None:
        self.host = host
        self.port = port
        self.app = app
        self._stop_deadline = stop_deadline
        self._runner = ProblemRunner(
            app,
            refuse=app[EDGE].refuse,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=keep_alive,
            shutdown_timeout=stop_deadline,
        )

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had, in one line that names it."""
        logging.getLogger("aiohttp.server").addFilter(_CLIENTS_FAULT)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port, backlog=1024).start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {self.host}:{self.port}: {_why(error)}") from error
        addresses = self._runner.addresses
        self.port = int(addresses[0][1])
        self.app[DOOR].listening_at(str(address[0]) for address in addresses)

    async def take_leave(self, seconds: float) -> None:
        """Answer long polls at once, and say for so long, in `/health` and by closing connections after each answer,
        that the service is about to stop; not where nobody is there to hear it."""
        load = self.app[LOAD]
        load.drain()
        server = self._runner.server
        connected = bool(server and server.connections)
        if connected or time.perf_counter() - load.last_request < HEARD_OF:
            await asyncio.sleep(seconds)

    async def stop(self) -> None:
        load = self.app[LOAD]
        load.drain()
        closing = asyncio.create_task(self._runner.cleanup())
        await asyncio.wait({closing}, timeout=self._stop_deadline * PATIENCE)
        if not closing.done():
            load.interrupt()
        await closing


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is already taken"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "this user may not use that port"
    return str(error)
