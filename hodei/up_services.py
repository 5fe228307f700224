"""The services of `hodei up`: their processes, the wait until they are healthy, and the stop of them and their workers.

hodei.embedded.service runs a service; the servers are in hodei.up_servers.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from hodei.embedded.errors import WrongSetting
from hodei.embedded.service import ProcessSpec, ServiceProcess
from hodei.embedded.terminal import progress, say
from hodei.embedded.worker import ALIVE, refusal_in_words
from hodei.interpreter import python, service_path
from hodei.up_keys import UpKeys
from hodei.up_settings import SERVICES, UpSettings

HEALTH_DEADLINE: Final = 60.0  # seconds for a service to become healthy, even on a machine that is short of CPU
SERVICE_DEADLINE: Final = 15.0  # for a service to stop after SIGTERM
WORKERS_DEADLINE: Final = 5.0  # for the worker manager to accept the request to stop its workers


def services(
    settings: UpSettings, ports: Mapping[str, int], environment: Mapping[str, str], fds: Sequence[int]
) -> list[ProcessSpec]:
    """The three services of the platform, each with its own keys."""
    keys = UpKeys(settings)
    return [
        ProcessSpec(
            name=name,
            command=(*python(), "-m", name),
            url=f"{'https' if settings.certificate else 'http'}://{settings.reach}:{ports[name]}",
            log=settings.data_dir / "logs" / f"{name}.log",
            environment={**environment, **keys.of_service(name), **service_path(), **_public_url(name)},
            fds=fds,
        )
        for name, _ in SERVICES
    ]


def _public_url(service: str) -> dict[str, str]:
    """HODEI_PUBLIC_URL is that of one service: in an environment that all three share, of the orchestrator."""
    return {} if service == "orchestrator" else {"HODEI_PUBLIC_URL": ""}


def trusting(certificate: Path | None) -> ssl.SSLContext | bool:
    """For requests to the services: only a server with this certificate, or with one of an authority in its file, is
    trusted. Its name is not compared, as the address is that of this machine. Raises WrongSetting."""
    if certificate is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError:  # an OSError, too
        raise WrongSetting(f"HODEI_TLS_CERT={certificate}: should be certificates in PEM format") from None
    except OSError as error:
        raise WrongSetting(f"HODEI_TLS_CERT={certificate}: {error.strerror}") from None
    return context


async def until_healthy(child: ServiceProcess, session: aiohttp.ClientSession) -> None:
    await child.healthy(session, deadline=HEALTH_DEADLINE)
    progress(f"{spoken(child.spec.name)} is ready at {child.spec.url}")


def spoken(service: str) -> str:
    return f"the {service.replace('_', ' ')}"


async def stop_services(children: Sequence[ServiceProcess]) -> None:
    for child in children:
        child.ask_to_stop()
    for child in children:
        await child.stop(deadline=SERVICE_DEADLINE)


async def stop_workers(session: aiohttp.ClientSession, manager: str) -> None:
    """Stop the workers. Their tasks are queued again and run after the next start."""
    try:
        async with asyncio.timeout(WORKERS_DEADLINE):
            for worker in await _living_workers(session, manager):
                async with session.delete(f"{manager}/api/v1/workers/{worker}", params={"force": "true"}) as answer:
                    if answer.status >= 400:
                        say(f"worker {worker} was not stopped: {refusal_in_words(answer.status, await answer.read())}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # The worker manager stops its workers when it stops.
        say(f"the worker manager did not stop the workers, so they end with it: {str(error) or 'no answer'}")


async def _living_workers(session: aiohttp.ClientSession, manager: str) -> list[str]:
    async with session.get(f"{manager}/api/v1/workers", params={"limit": "1000"}) as answer:
        answer.raise_for_status()
        workers = await answer.json()
    return [worker["id"] for worker in workers if worker["status"] in ALIVE]
