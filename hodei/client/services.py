"""`Services`: the addresses of the three services and the connections to them; the base class of all groups of
calls."""

import asyncio
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from yarl import URL

from hodei.client.calls import one
from hodei.client.errors import BadAddress, ClientError, WrongSetting
from hodei.client.transport import Transport
from schemas.rest.health import Health
from schemas.variables import unknown_variables


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
    ) -> None:
        self.on_retry: Callable[[ClientError], None] = lambda _: None
        """Called with the error before a request is sent again, or a stream is opened again: the service was away, or
        turned the request away."""
        if not (orchestrator and scheduler and worker_manager) and (unknown := unknown_variables(os.environ)):
            raise WrongSetting("; ".join(unknown))

        def transport(given: str | None, service: str, port: int) -> Transport:
            url = given or os.environ.get(f"HODEI_{service}_URL")
            here = f"http://127.0.0.1:{os.environ.get(f'{service}_PORT') or port}"
            name = "" if given else f"HODEI_{service}_URL: " if url else f"{service}_PORT: "
            address = _address(url or here, name)
            return Transport(
                address,
                timeout=timeout,
                attempts=attempts,
                name=service.lower().replace("_", " "),
                on_retry=lambda error: self.on_retry(error),
            )

        self.orchestrator = transport(orchestrator, "ORCHESTRATOR", 8080)
        self.scheduler = transport(scheduler, "SCHEDULER", 8081)
        self.worker_manager = transport(worker_manager, "WORKER_MANAGER", 8082)

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

    def _service(self, name: str) -> Transport:
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


def _address(text: str, name: str) -> URL:
    """A service's base URL. `name` is where the text comes from, for the error."""
    try:
        url = URL(text)
        fits = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        fits = False
    if not fits:
        shown = text.rpartition("@")[2]  # without a password
        raise BadAddress(f"{name}{shown} is not the address of a service; one looks like http://HOST:PORT")
    return url
