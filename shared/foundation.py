"""The parts that all three services share: metrics, tracing, database, bus, schema, outbox and the web server.

Here: making these parts from the settings, and the order in which they start. Not here: the parts of one service only,
which its app.py wires.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args

import structlog
from aiohttp.web import RouteDef

from schemas.questions import SERVICE_OF
from schemas.subjects import Owner
from shared.access.known import KnownTokens
from shared.access.session_sync import SessionSync, asking
from shared.access.sessions import Bearers, Sessions
from shared.access.store import KnownTokenStore
from shared.access.sync import Asking, OwnTable, TokenSync
from shared.audit import AuditLog, AuditStore, Recorder, Refusals
from shared.bus import Answering, Bus, answer, questions_asked
from shared.errors import ConfigError, Unavailable
from shared.introduction import Introduction
from shared.outbox import Outbox
from shared.postgres import Database, migrate
from shared.service import Service, ServiceSettings
from shared.telemetry import EventLoopLag, Metrics, Tracing
from shared.version import platform_version
from shared.web import Api, Limits, WebServer, audit, create_web_app, dead_letters, server_tls, whoami
from shared.web.idempotency import KEYS_KEPT

MIGRATION_PAUSE: Final = 0.5

_log = structlog.get_logger(__name__)


class Foundation:
    """The common parts of one service. `settings.service` is the name of the service, its package and its schema.
    `owns_tokens` says that its table of tokens is the one of which the others are copies, `features` which of the
    service's own features are on."""

    def __init__(
        self, settings: ServiceSettings, *, owns_tokens: bool = False, features: Mapping[str, bool] | None = None
    ) -> None:
        self._settings = settings
        self._server: WebServer | None = None
        self.introduction = Introduction(
            settings, self._port, features={**(features or {}), "tracing": bool(settings.otlp_endpoint)}
        )
        self.metrics = Metrics()
        self.tokens = KnownTokens()
        self.sessions = Sessions(self.tokens)
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
            ca=settings.nats_ca,
            credentials=settings.nats_credentials,
        )
        self.questions_asked = questions_asked(self.metrics)
        self.outbox = Outbox(
            self.database, self.bus, source=settings.service, linger=settings.linger, metrics=self.metrics
        )
        self._audit = AuditStore(self.database, service=settings.service)
        self._refusals = Refusals(self._audit, self.metrics)
        self.audit_kept = AuditLog(self._audit, age=settings.retention_audit)
        """For the service's retention."""
        if settings.access_on:
            self.outbox.before_close(Recorder(self.metrics).add)
        store = KnownTokenStore(self.database)
        self.tokens_table = OwnTable(store)
        self.token_sync = TokenSync(
            self.bus,
            self.tokens,
            store,
            self.tokens_table if owns_tokens else Asking(self.bus, store),
            copies=not owns_tokens,
            metrics=self.metrics,
        )

        self._session_sync = None if owns_tokens else SessionSync(self.bus, self.sessions, asking(self.bus))

    @property
    def services(self) -> list[Service]:
        """The common parts in start order. The service's own parts start after them."""
        settings = self._settings
        schema = _Schema(self.database, self.bus, package=settings.service, deadline=settings.start_deadline)
        introducing = Answering(
            self.bus, self.questions_asked, [answer(SERVICE_OF[_owner(settings)], self.introduction.answer)]
        )
        common: list[Service] = [
            EventLoopLag(self.metrics),
            self.tracing,
            self.database,
            self.bus,
            schema,
            self.outbox,
            introducing,
        ]
        sync = [one for one in (self.token_sync, self._session_sync) if one is not None]
        return [*common, *sync, self._refusals] if settings.access_on else common

    def web(
        self, *, title: str, description: str, apis: Sequence[Api], port: int, pages: Sequence[RouteDef] = ()
    ) -> WebServer:
        """The service's web server, which starts last. `pages` are routes of its web pages, for everyone."""
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
            apis=[
                *apis,
                whoami.api(),
                dead_letters.api(self.bus, self.bus.letters(_owner(self._settings)), self.outbox, self.metrics),
                audit.api(self._audit),
            ],
            pages=pages,
            checks={"database": self.database.healthy, "nats": self.bus.healthy},
            metrics=self.metrics,
            tracing=self.tracing,
            tokens=Bearers(self.tokens, self.sessions) if self._settings.access_on else None,
            refused=self._refusals.add,
        )
        app[KEYS_KEPT] = self._settings.retention_idempotency_keys
        # The web server takes at most twice this, which leaves the other parts a fifth of the time to stop.
        self._server = WebServer(
            app,
            self._settings.host,
            port,
            stop_deadline=self._settings.stop_deadline * 0.4,
            tls=server_tls(self._settings, self.metrics),
        )
        return self._server

    def _port(self) -> int:
        """The port of the web server; 0 before there is one."""
        return 0 if self._server is None else self._server.port


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
