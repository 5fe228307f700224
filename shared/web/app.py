"""The web application of a service, and its server.

Here: wiring the parts of this package around a service's apis. Not here: the parts themselves, and the apis, which
each service's app.py passes in.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from shared.errors import ConfigError
from shared.proxies import Proxies
from shared.telemetry import Metrics, Tracing
from shared.web.api import Api
from shared.web.door import Door
from shared.web.guard import GUARD, Guard, Tokens
from shared.web.health import Check, HealthChecks
from shared.web.load import LOAD, Limits, Load
from shared.web.middlewares import Edge, Refused, RequestMetrics
from shared.web.openapi import PydanticApiSpec
from shared.web.protocol import ProblemRunner
from shared.web.references import make_relative
from shared.web.sse import OPEN_STREAMS, OpenStreams
from shared.web.system import ASSETS, Document, add_assets, system_api
from shared.web.tls import CertificateReload, ServerTls

METRICS: Final = web.AppKey("metrics", Metrics)
"""The metrics that `/metrics` shows."""
DOCUMENT: Final = web.AppKey("document", Document)
"""The document that `/openapi.json` shows."""
DOOR: Final = web.AppKey("door", Door)
EDGE: Final = web.AppKey("edge", Edge)


class WebSettings(Protocol):
    """The part of a service's settings that the web application needs."""

    @property
    def host(self) -> str: ...
    @property
    def cors_origins(self) -> str: ...
    @property
    def allowed_hosts(self) -> str: ...
    @property
    def public_url(self) -> str | None: ...
    @property
    def limit_body(self) -> int: ...
    @property
    def trusted_proxies(self) -> str: ...


def create_web_app(
    *,
    title: str,
    version: str,
    service: str,
    settings: WebSettings,
    apis: Sequence[Api],
    pages: Sequence[web.RouteDef] = (),
    checks: Mapping[str, Check],
    metrics: Metrics,
    tracing: Tracing | None = None,
    description: str = "",
    limits: Limits | None = None,
    tokens: Tokens | None = None,
    refused: Refused | None = None,
    health_deadline: float = 2.0,
) -> web.Application:
    """An application with every route of `apis`, the system routes and `pages`. The latter are for browsers: no token
    is needed, and the document does not list them.

    `/health` runs the `checks`, by name; only the one called `database` can make the service `unhealthy`.
    Beyond `limits`, requests get 429. With `tokens`, access is on: requests need one of them, and
    `refused` is called with each call that is refused with 401 or 403.
    Raises ValueError when two handlers have the same name.
    """
    app = web.Application(client_max_size=settings.limit_body)
    load = app[LOAD] = Load(limits or Limits())
    streams = app[OPEN_STREAMS] = OpenStreams()
    app.on_shutdown.append(streams.close)
    app[METRICS] = metrics
    door = app[DOOR] = Door(
        origins=settings.cors_origins, hosts=settings.allowed_hosts, host=settings.host, public=settings.public_url
    )

    document = app[DOCUMENT] = Document()
    health = HealthChecks(service, version, checks, metrics=metrics, deadline=health_deadline)
    health.access = "off" if tokens is None else "on"
    health.draining = lambda: load.draining
    system = system_api(health, metrics, document)
    for api in (*apis, system):
        app.router.add_routes(api.routes)
    add_assets(app)
    added = app.router.add_routes(pages)
    public = {(route.method, route.resource.canonical): None for route in added if route.resource is not None}

    roles = {route: role for api in (*apis, system) for route, role in api.roles.items()}
    proxies = Proxies(settings.trusted_proxies)
    guard = app[GUARD] = Guard(
        roles={**roles, **public, ("GET", ASSETS): None},
        tokens=tokens,
        proxies=proxies,
        of_sessions={route for api in apis for route in api.of_sessions},
        metrics=metrics,
    )
    edge = app[EDGE] = Edge(
        door=door,
        guard=guard,
        load=load,
        metrics=RequestMetrics(metrics, load),
        system_routes=frozenset(resource.canonical for resource in app.router.resources())
        - frozenset(route.path for api in apis for route in api.routes),
        kinds={route: kind for api in apis for route, kind in api.kinds.items()},
        tracing=tracing,
        refused=refused,
    )
    edge.install(app)
    if urlsplit(settings.public_url or "").path.strip("/"):
        app.on_response_prepare.append(make_relative)

    tags = {api.tag: {"name": api.tag, "description": api.description} for api in (*apis, system)}
    spec = PydanticApiSpec(title=title, version=version, description=description, tags=list(tags.values()))
    spec.collect(app)
    document.content = spec.document()
    return app


HEARD_OF: Final = 15.0
"""Seconds after the last request for which clients may still watch `/health`: health checks are more frequent."""
PATIENCE: Final = 0.8
"""The fraction of `stop_deadline` after which waiting requests get 503."""


class _ClientsFault(logging.Filter):
    """Logs a request that is not HTTP as one info line, not as an error with a traceback: it is the client's fault."""

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
    """Serves an application on one address, with `tls` by HTTPS only; a service of the process's lifecycle.

    With `port` 0 the system chooses a port; after `start`, `port` is the actual one. An idle connection is closed after
    `keep_alive` seconds. While draining, the server reports `draining` and still serves. Stopping first closes the
    listening socket, ends the event streams and answers long polls. Other requests get `stop_deadline` seconds to
    finish; those that do not are cut off after as many seconds again.
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
        tls: ServerTls | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.app = app
        self._stop_deadline = stop_deadline
        self._tls = tls
        self.certificate = CertificateReload(tls) if tls else None
        """The loop that reads a changed certificate; None without TLS."""
        self._runner = ProblemRunner(
            app,
            refuse=app[EDGE].refuse,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=keep_alive,
            shutdown_timeout=stop_deadline,
        )

    async def start(self) -> None:
        """Listen. Raises ConfigError, in one line with the address, when that is not possible, and with the variable
        when the certificate is not usable."""
        context = self._tls.context() if self._tls else None
        logging.getLogger("aiohttp.server").addFilter(_CLIENTS_FAULT)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port, backlog=1024, ssl_context=context).start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {self.host}:{self.port}: {_why(error)}") from error
        addresses = self._runner.addresses
        self.port = int(addresses[0][1])
        self.app[DOOR].listening_at(str(address[0]) for address in addresses)
        if self.certificate:
            await self.certificate.start()

    async def take_leave(self, seconds: float) -> None:
        """Answer long polls at once and drain for `seconds`: `/health` returns `draining`, and connections are closed
        after each response. Returns at once if there are no clients."""
        load = self.app[LOAD]
        load.drain()
        server = self._runner.server
        connected = bool(server and server.connections)
        if connected or time.perf_counter() - load.last_request < HEARD_OF:
            await asyncio.sleep(seconds)

    async def stop(self) -> None:
        if self.certificate:
            await self.certificate.stop()
        load = self.app[LOAD]
        load.drain()
        closing = asyncio.create_task(self._runner.cleanup())
        await asyncio.wait({closing}, timeout=self._stop_deadline * PATIENCE)
        if not closing.done():
            load.interrupt()
        await closing


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the host does not exist"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is already taken"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "this user may not listen on that port"
    return str(error)
