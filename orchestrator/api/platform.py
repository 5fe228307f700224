"""/api/v1/platform: where the services of the platform are, and what is on."""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from orchestrator.parts import Parts
from orchestrator.settings import OrchestratorSettings
from schemas.permissions import SERVICES
from schemas.questions import ServiceAnswer
from schemas.rest.platform import Platform, PlatformService
from shared.origins import read_host
from shared.version import platform_version
from shared.web import GUARD, Api, json_response

_PLAIN: Final = re.compile(r"[a-z0-9._-]+")
"""The characters of hosts' names."""


@dataclass(frozen=True, slots=True)
class PlatformRoutes:
    """The handlers."""

    settings: OrchestratorSettings
    parts: Parts

    async def get_platform(self, request: web.Request) -> web.StreamResponse:
        """Where the three services are, for clients that know one address, which versions they have, what they keep,
        and what is on. A service that does not answer within a second has no version."""
        return json_response(await self.describe(request))

    async def describe(self, request: web.Request) -> Platform:
        """The platform, with addresses for the one who sends this request."""
        answers = await self.parts.now()
        services = []
        for owner in SERVICES:
            now, known = answers.get(owner), self.parts.last(owner)
            services.append(
                PlatformService(
                    name=owner,
                    url=None if known is None else _url(request, known),
                    version=None if now is None else now.version,
                    port=None if now is None else now.port,
                )
            )
        return Platform(
            namespace=self.settings.namespace,
            access="on" if self.settings.access_on else "off",
            version=platform_version(),
            lease_seconds=self.settings.lease_seconds,
            services=services,
            retention={name: text for one in answers.values() for name, text in one.retention.items()},
            features={name: on for one in answers.values() for name, on in one.features.items()},
        )


def _url(request: web.Request, service: ServiceAnswer) -> str:
    """The public address of a service, or its port on the host that the request names."""
    if service.public_url is not None:
        return service.public_url
    name = named_host(request.host)
    scheme = "https" if service.tls or request.app[GUARD].is_secure(request) else "http"
    return f"{scheme}://{name}:{service.port}"


def api(routes: PlatformRoutes) -> Api:
    """The route."""
    api = Api(tag="platform", description="The platform as a whole.")
    api.get("/api/v1/platform", summary="Show the services and what is on", answers={200: Platform})(
        routes.get_platform
    )
    return api


def named_host(text: str) -> str:
    """The name or address in a `Host` header as a URL has it; `localhost` for one with other characters, which would
    mean something else in the policy of the console's page."""
    host = read_host(text)
    if host is None:
        return "localhost"
    if ":" in host.name:
        return f"[{host.name}]"
    return host.name if _PLAIN.fullmatch(host.name) else "localhost"
