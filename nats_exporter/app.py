"""The composition root: the reader of the NATS servers, and the web server that Prometheus scrapes."""

from collections.abc import Sequence

from nats_exporter.servers import Servers
from nats_exporter.settings import NatsExporterSettings
from shared.service import Service
from shared.telemetry import Metrics
from shared.version import platform_version
from shared.web import WebServer, create_web_app, server_tls


def build(settings: NatsExporterSettings) -> Sequence[Service]:
    """Wire the parts."""
    metrics = Metrics()
    servers = Servers(settings.servers, metrics)
    app = create_web_app(
        title="NATS exporter",
        description="Metrics of NATS servers, for Prometheus.",
        version=platform_version(),
        service=settings.service,
        settings=settings,
        apis=[],
        checks={"nats": servers.healthy},
        metrics=metrics,
    )
    return [servers, WebServer(app, settings.host, settings.port, tls=server_tls(settings, metrics))]
