"""`hodei up`: NATS, PostgreSQL, the three services and a worker on this machine, which start and stop together.

All of them are children that cannot outlive this process. The data are in one folder, which only one `hodei up` uses at
a time. This module has the order of start and stop, and the table of addresses. Its parts are in hodei.up_preparation,
hodei.up_servers and hodei.up_services; hodei.embedded runs servers and services.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from rich.table import Table
from rich.text import Text

from hodei.embedded.errors import EmbeddedError, WrongSetting
from hodei.embedded.keeping import hasten_postgres, heal_nats, keep_server
from hodei.embedded.lifeline import Lifeline
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.ports import RememberedPorts
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.embedded.secrecy import hide_process
from hodei.embedded.service import ProcessSpec, ServiceProcess
from hodei.embedded.terminal import give_up, listed, progress, say, show
from hodei.embedded.together import together
from hodei.embedded.worker import KeptWorker
from hodei.interrupts import SAME_REQUEST
from hodei.up_keys import UpKeys
from hodei.up_preparation import check_settings, claim, service_ports
from hodei.up_servers import remember, start_servers
from hodei.up_services import services, spoken, stop_services, stop_workers, trusting, until_healthy
from hodei.up_settings import UpSettings, variable_of

FAILED: Final = 1  # exit codes
WRONG_SETTING: Final = 2
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Platform:
    """The running platform, for the table and for callers."""

    settings: UpSettings
    urls: Mapping[str, str]
    nats_url: str
    database_url: str
    nats: EmbeddedNats | None
    postgres: EmbeddedPostgres | None
    feed_credentials: Path | None = None
    """The credentials with which a subscriber hears the feed; None for a NATS that `hodei up` has not started."""
    token: Path | None = None
    """The file of the first administrator's token; None while requests need none."""


Specs = Callable[[UpSettings, Mapping[str, int], Mapping[str, str], Sequence[int]], Sequence[ProcessSpec]]


def run(*, data_dir: Path | None = None, verbose: bool = False) -> int:
    """Run the platform until Ctrl-C or SIGTERM, and return the exit code. A closed output does not stop it."""
    os.environ.pop("HODEI_TOKEN", None)  # nothing that it starts needs the user's token
    try:
        return asyncio.run(up(data_dir=data_dir, verbose=verbose))
    finally:
        give_up()


async def up(
    *,
    data_dir: Path | None = None,
    verbose: bool = False,
    specs: Specs | None = None,
    started: Callable[[Platform], None] | None = None,
    signalled: Callable[[signal.Signals], None] | None = None,
) -> int:
    """Run the platform until a signal, and return 0. If it cannot start, print one line on stderr, stop everything, and
    return 2 for a wrong setting, else 1.

    `started` is called when everything is ready; by default it prints the table of URLs. `signalled` is called with the
    signal that stops the platform. `specs` lists the processes to run as the services. A second signal, half a second
    later or more, ends everything at once.
    """
    hide_process()
    loop = asyncio.get_running_loop()
    living = asyncio.create_task(_live(data_dir, verbose, specs or services, started or print_table))
    asked_at: float | None = None

    def ask(number: signal.Signals) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = loop.time()
            if signalled is not None:
                signalled(number)
            living.cancel()
            progress("stopping; a second Ctrl-C ends everything at once")
        elif loop.time() - asked_at >= SAME_REQUEST:
            os._exit(1)  # their lifelines end all children

    for number in STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, ask, number)
    try:
        await living
    except EmbeddedError as error:
        say(str(error))
        return WRONG_SETTING if isinstance(error, WrongSetting) else FAILED
    except asyncio.CancelledError:
        if asked_at is None:
            raise
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    progress("stopped")
    return 0


async def _live(data_dir: Path | None, verbose: bool, specs: Specs, started: Callable[[Platform], None]) -> None:
    settings = UpSettings.read(os.environ, data_dir=data_dir)
    keys = UpKeys(settings)
    await check_settings(os.environ, keys)
    async with AsyncExitStack() as stack:
        held = await claim(settings.data_dir, stack)
        remembered = RememberedPorts(settings.data_dir / "ports.json")
        ports = service_ports(settings, remembered)
        nats, postgres = await start_servers(settings, remembered, keys, stack)
        remember(remembered, settings, ports, nats, postgres)
        database_url = postgres.url if postgres else settings.database_url or ""
        nats_url = nats.url if nats else settings.nats_url or ""

        lifeline = Lifeline()
        stack.callback(lifeline.close)
        environment = {
            **{variable_of(name): str(port) for name, port in ports.items()},
            **lifeline.environment,
            "NATS_URL": nats_url,
            "DATABASE_URL": database_url,
            "HODEI_HOST": settings.host,
            "HODEI_DATA_DIR": str(settings.data_dir),
        }
        children = [
            ServiceProcess(spec, say=say, verbose=verbose)
            for spec in specs(settings, ports, environment, (lifeline.descriptor, held))
        ]
        headers = keys.headers() if settings.access else {}
        connector = aiohttp.TCPConnector(ssl=trusting(settings.certificate))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))
        stack.push_async_callback(stop_services, children)
        progress(f"starting {listed([spoken(child.spec.name) for child in children])}")
        for child in children:
            child.start()
        await together(*(until_healthy(child, session) for child in children))

        urls = {child.spec.name: child.spec.url for child in children}
        worker = KeptWorker(session, urls["worker_manager"], settings.worker, folder=settings.data_dir, say=say)
        stack.push_async_callback(stop_workers, session, urls["worker_manager"])
        progress("starting a worker")
        await worker.start()
        for child in children:
            child.keep()
        async with asyncio.TaskGroup() as watching:
            watching.create_task(worker.keep())
            if postgres is not None:
                watching.create_task(keep_server("PostgreSQL", postgres, say))
                watching.create_task(hasten_postgres(postgres, say))
            if nats is not None:
                watching.create_task(keep_server("NATS", nats, say))
                monitoring = await stack.enter_async_context(aiohttp.ClientSession())  # sends no token
                watching.create_task(heal_nats(nats, monitoring, say))
            feed = keys.feed if nats is not None else None
            token = keys.token if settings.access else None
            started(Platform(settings, urls, nats_url, database_url, nats, postgres, feed, token))
            await asyncio.Event().wait()  # until this task is cancelled


# -- the table ---------------------------------------------------------------------------------------


def print_table(platform: Platform) -> None:
    """Print the table of addresses, once everything is ready."""
    table = Table(title="Hodei is up", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("console", f"{platform.urls['orchestrator']}/console/")
    for name, url in platform.urls.items():
        table.add_row(name.replace("_", " "), url)
        table.add_row("", f"{url}/swagger-ui")
        table.add_row("", f"{url}/metrics")
    table.add_row("NATS", Text(_without_password(platform.nats_url)))
    if platform.nats is not None:
        table.add_row("", f"{platform.nats.monitoring_url} (monitoring)")
    if platform.feed_credentials is not None:
        table.add_row("", Text(f"credentials for the feed in {platform.feed_credentials}"))
    if platform.postgres is None:
        table.add_row("PostgreSQL", Text(_without_password(platform.database_url)))
    else:
        table.add_row("PostgreSQL", platform.postgres.tcp_url)
        table.add_row("", Text(f"password in {platform.postgres.password_file}"))
    if platform.token is not None:
        table.add_row("access", Text(f"on: the administrator's token is in {platform.token}"))
    else:
        table.add_row("access", "off: requests need no token (HODEI_AUTH=on changes that)")
    table.add_row("data, logs", Text(str(platform.settings.data_dir)))
    show(table)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
