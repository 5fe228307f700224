"""The parts that all three services share: metrics, tracing, database, bus, schema, outbox and the web server.

Here: making these parts from the settings, and the order in which they start. Not here: the parts of one service only,
which its app.py wires.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, cast, get_args

import structlog

from schemas.subjects import Owner
from shared.bus import Bus
from shared.errors import ConfigError, Unavailable
from shared.outbox import Outbox
from shared.postgres import Database, migrate
from shared.service import Service, ServiceSettings
from shared.telemetry import EventLoopLag, Metrics, Tracing
from shared.version import platform_version
from shared.web import Api, Limits, WebServer, create_web_app, dead_letters
from shared.web.idempotency import KEYS_KEPT

MIGRATION_PAUSE: Final = 0.5

_log = structlog.get_logger(__name__)


class Foundation:
    """The common parts of one service. `settings.service` is the name of the service, its package and its schema."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.metrics = Metrics()
        build = self.metrics.gauge("build_info", "1, with the version as a label.", ["version"])
        build.labels(platform_version()).set(1)
        self.tracing = Tracing(
            settings.service,
            endpoint=settings.otlp_endpoint or None,
            sample=settings.trace_sample,
            version=platform_version(),
        )
        self.database = Database(
            settings.database_url,
            schema=settings.service,
            name=settings.service,
            max_size=settings.database_pool,
            start_deadline=settings.start_deadline,
            metrics=self.metrics,
        )
        self.bus = Bus(
            settings.nats_url,
            name=settings.service,
            namespace=settings.namespace,
            start_deadline=settings.start_deadline,
            metrics=self.metrics,
            linger_ms=settings.linger_ms,
            replicas=settings.stream_replicas,
            ages=settings.stream_ages,
        )
        self.outbox = Outbox(
            self.database, self.bus, source=settings.service, linger=settings.linger, metrics=self.metrics
        )

    @property
    def services(self) -> list[Service]:
        """The common parts in start order. The service's own parts start after them."""
        settings = self._settings
        schema = _Schema(self.database, self.bus, package=settings.service, deadline=settings.start_deadline)
        return [EventLoopLag(self.metrics), self.tracing, self.database, self.bus, schema, self.outbox]

    def web(self, *, title: str, description: str, apis: Sequence[Api], port: int) -> WebServer:
        """The service's web server, which starts last."""
        app = create_web_app(
            title=title,
            description=description,
            version=platform_version(),
            service=self._settings.service,
            settings=self._settings,
            limits=Limits(
                requests=self._settings.limit_requests,
                streams=self._settings.limit_streams,
                waiting=self._settings.limit_waiting_requests,
            ),
            apis=[*apis, dead_letters.api(self.bus, self.bus.letters(_owner(self._settings)), self.metrics)],
            checks={"database": self.database.healthy, "nats": self.bus.healthy},
            metrics=self.metrics,
            tracing=self.tracing,
        )
        app[KEYS_KEPT] = self._settings.retention_idempotency_keys
        # The web server takes at most twice this, which leaves the other parts a fifth of the time to stop.
        return WebServer(app, self._settings.host, port, stop_deadline=self._settings.stop_deadline * 0.4)


def _owner(settings: ServiceSettings) -> Owner:
    """The service's name in the catalogue of consumers. Raises ConfigError for a service that owns no consumers."""
    for owner in get_args(Owner):
        if owner == settings.service:
            return cast(Owner, owner)
    raise ConfigError(f"{settings.service} owns no consumers")


class _Schema:
    """Migrates the service's tables, and declares the streams and its consumers."""

    name = "schema"

    def __init__(self, database: Database, bus: Bus, *, package: str, deadline: float) -> None:
        self._database = database
        self._bus = bus
        self._package = package
        self._deadline = deadline

    async def start(self) -> None:
        """Migrate and declare. Raises Unavailable when the database accepts no writes before the start deadline."""
        give_up = time.monotonic() + self._deadline
        while True:
            try:
                await migrate(self._database, self._package)
                break
            except Unavailable as error:
                if time.monotonic() > give_up:
                    raise
                _log.info("database.waiting", error=str(error))
            await asyncio.sleep(MIGRATION_PAUSE)
        await self._bus.declare()

    async def stop(self) -> None:
        """Nothing to undo."""
