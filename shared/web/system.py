"""The routes that every service has: health, metrics, the OpenAPI document and Swagger UI.

Here: those routes, declared like any others, so that they are documented too. Not here: the health checks (`health`)
and how the document is made (`openapi`).
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from schemas.rest.health import Health, Liveness
from shared.telemetry import Metrics
from shared.web.api import Api
from shared.web.health import HealthChecks
from shared.web.openapi import Answer
from shared.web.responses import JSON, json_response

UI: Final = "/swagger-ui"
ASSETS: Final = "/swagger-ui/assets"

_NO_STORE: Final = {"Cache-Control": "no-store"}
_UI_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src *; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


class Document:
    """Holds the OpenAPI document, which is written after the routes are declared."""

    def __init__(self) -> None:
        self.content = b""


@dataclass(frozen=True, slots=True)
class SystemRoutes:
    """The handlers of the system routes."""

    health: HealthChecks
    metrics: Metrics
    document: Document
    page: bytes
    """Swagger UI's HTML page."""

    async def get_health(self, _request: web.Request) -> web.Response:
        answer = await self.health.ask()
        return json_response(
            answer, status=503 if answer.status in ("unhealthy", "draining") else 200, headers=_NO_STORE
        )

    async def get_liveness(self, _request: web.Request) -> web.Response:
        return json_response(Liveness(), headers=_NO_STORE)

    async def get_metrics(self, _request: web.Request) -> web.Response:
        await self.metrics.refresh()
        return web.Response(body=self.metrics.render(), headers={"Content-Type": self.metrics.content_type})

    async def get_openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.document.content, headers={"Content-Type": JSON})

    async def get_swagger_ui(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.page, headers=_UI_HEADERS)


def system_api(health: HealthChecks, metrics: Metrics, document: Document) -> Api:
    """The system routes of one service."""
    page = files("shared.web").joinpath("static", "swagger-ui", "index.html").read_bytes()
    routes = SystemRoutes(health, metrics, document, page)
    api = Api(tag="system", description="Health, metrics and the documentation of the service.", system=True)
    api.get(
        "/health",
        summary="Check the health of the service",
        answers={200: Health, 503: Answer(Health, description="unhealthy, or draining")},
        description="`degraded` (200) still accepts and stores work; `unhealthy` (503) does not. `draining` (503): the "
        "service is about to stop; send new requests to another replica.",
        public=True,
    )(routes.get_health)
    api.get("/health/live", summary="Check that the process answers", answers={200: Liveness}, public=True)(
        routes.get_liveness
    )
    api.get("/metrics", summary="Metrics for Prometheus", answers={200: Answer(also=("text/plain",))})(
        routes.get_metrics
    )
    api.get(
        "/openapi.json",
        summary="This document",
        answers={200: Answer(dict[str, object], description="OpenAPI 3.0")},
    )(routes.get_openapi)
    api.get(UI, summary="This document in Swagger UI", answers={200: Answer(also=("text/html",))}, public=True)(
        routes.get_swagger_ui
    )
    return api


def add_assets(app: web.Application) -> None:
    """Serve Swagger UI's own files, which are part of this package."""
    app.router.add_static(ASSETS, Path(str(files("shared.web").joinpath("static", "swagger-ui"))))
