"""The servers of `hodei up`: starts those that the environment does not name, on ports that are free.

hodei.embedded.postgres and hodei.embedded.nats run them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from hodei.embedded.errors import EmbeddedError, PortTaken
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.ports import RememberedPorts
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.embedded.terminal import listed, progress, say
from hodei.embedded.together import together
from hodei.up_keys import UpKeys
from hodei.up_settings import UpSettings

NATS_PORT: Final = 4222
POSTGRES_PORT: Final = 5432


async def start_servers(
    settings: UpSettings, remembered: RememberedPorts, keys: UpKeys, stack: AsyncExitStack
) -> tuple[EmbeddedNats | None, EmbeddedPostgres | None]:
    """Start the servers that the environment does not name. NATS is stopped first.

    Unless the environment gives its port, each uses the port of the last start (at first the default), or another one
    if that is taken. The keys are made before NATS starts.
    """
    nats = postgres = None
    if settings.database_url is None:
        postgres = EmbeddedPostgres(
            settings.data_dir / "postgres",
            port=settings.postgres_port or remembered.get("postgres") or POSTGRES_PORT,
            may_move=settings.postgres_port is None,
        )
        stack.push_async_callback(postgres.stop)
    if settings.nats_url is None:
        nats = EmbeddedNats(
            settings.data_dir / "nats",
            port=settings.nats_port or remembered.get("nats") or NATS_PORT,
            monitoring_port=remembered.get("nats_monitoring") or 0,
            may_move=settings.nats_port is None,
            operator=keys.operator,
        )
        stack.push_async_callback(nats.stop)
    servers = {name: server for name, server in (("PostgreSQL", postgres), ("NATS", nats)) if server is not None}
    if servers:
        progress(f"starting {listed(list(servers))}, with the data in {settings.data_dir}")
    others = [keys.make()] if nats is None else []  # those of the services' tokens
    await together(*(_start_server(name, server, keys) for name, server in servers.items()), *others)
    if nats is not None and (before := remembered.get("nats")) not in (None, nats.port) and not settings.nats_port:
        say(
            f"port {before} is taken: NATS listens on port {nats.port} now, and workers that use the old port "
            "cannot reach it"
        )
    return nats, postgres


async def _start_server(name: str, server: EmbeddedNats | EmbeddedPostgres, keys: UpKeys) -> None:
    wanted = server.port
    if isinstance(server, EmbeddedNats):
        await keys.make()
    try:
        await server.start()
    except PortTaken as error:
        variable = "NATS_PORT" if name == "NATS" else "POSTGRES_PORT"
        raise EmbeddedError(f"port {error.port} is taken: set {variable} to another one") from None
    progress(f"{name} is ready on port {server.port}" + (f": port {wanted} is taken" if server.port != wanted else ""))


def remember(
    remembered: RememberedPorts,
    settings: UpSettings,
    ports: Mapping[str, int],
    nats: EmbeddedNats | None,
    postgres: EmbeddedPostgres | None,
) -> None:
    """Store the ports that the environment did not give."""
    chosen = {name: port for name, port in ports.items() if not settings.ports[name]}
    if nats is not None:
        chosen["nats_monitoring"] = nats.monitoring_port
        if settings.nats_port is None:
            chosen["nats"] = nats.port
    if postgres is not None and postgres.port is not None and settings.postgres_port is None:
        chosen["postgres"] = postgres.port
    try:
        remembered.keep(chosen)
    except OSError as error:
        raise EmbeddedError(f"cannot write to {settings.data_dir}: {error.strerror}") from None
