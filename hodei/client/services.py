"""`Services`: the addresses of the three services and the connections to them; the base class of all groups of
calls."""

import asyncio
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from hodei.client.calls import one
from hodei.client.connection import find_connection
from hodei.client.errors import ClientError
from hodei.client.transport import Transport
from schemas.rest.health import Health


class Services:
    """The connections of a client: one transport for each service."""

    def __init__(
        self,
        orchestrator: str | None = None,
        scheduler: str | None = None,
        worker_manager: str | None = None,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        token: str | None = None,
        profile: str | None = None,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self.on_retry: Callable[[ClientError], None] = lambda _: None
        """Called with the error before a request is sent again, or a stream is opened again: the service was away, or
        turned the request away."""
        given = {"ORCHESTRATOR": orchestrator, "SCHEDULER": scheduler, "WORKER_MANAGER": worker_manager}
        connection = find_connection(given, token=token, profile=profile, ca=ca)

        def transport(service: str) -> Transport:
            return Transport(
                connection.urls[service],
                timeout=timeout,
                attempts=attempts,
                name=service.lower().replace("_", " "),
                on_retry=lambda error: self.on_retry(error),
                token=connection.token,
                token_from=connection.token_from,
                tls=connection.tls,
            )

        self.orchestrator = transport("ORCHESTRATOR")
        self.scheduler = transport("SCHEDULER")
        self.worker_manager = transport("WORKER_MANAGER")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(service.close() for service in self._services().values()))

    async def health(self) -> dict[str, Health]:
        """The health of each service by its name. Raises ApiError (503) for an unhealthy one."""
        answers = await asyncio.gather(*(service.request("GET", "/health") for service in self._services().values()))
        return {name: one(Health, answer) for name, answer in zip(self._services(), answers, strict=True)}

    def service(self, name: str) -> Transport:
        """The connection to a service: `orchestrator`, `scheduler` or `worker-manager`. Raises ValueError for another
        name."""
        services = self._services()
        found = services.get(name.replace("_", "-"))
        if found is None:
            raise ValueError(f"there is no service {name!r}: {', '.join(services)}")
        return found

    def _services(self) -> Mapping[str, Transport]:
        return {
            "orchestrator": self.orchestrator,
            "scheduler": self.scheduler,
            "worker-manager": self.worker_manager,
        }
