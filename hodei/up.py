"""`hodei up`: NATS, PostgreSQL, the three services and a worker on this machine, which start and stop together.

Everything it starts is a child that cannot outlive it. The data lie in one folder, which one `hodei up` uses at a
time. How servers and services are run is in hodei.embedded.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from rich.table import Table
from rich.text import Text

from hodei.embedded.errors import EmbeddedError, PortTaken, WrongSetting
from hodei.embedded.keeping import hasten_postgres, heal_nats, keep_server
from hodei.embedded.lifeline import Lifeline
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.ports import RememberedPorts, free_port, is_taken
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.embedded.service import ProcessSpec, ServiceProcess
from hodei.embedded.terminal import give_up, progress, say, show
from hodei.embedded.worker import ALIVE, KeptWorker, refusal_in_words
from hodei.interrupts import SAME_REQUEST
from hodei.up_settings import SERVICES, UpSettings, variable_of

HEALTH_DEADLINE: Final = 60.0  # seconds for a service to become healthy, on a machine that is short of CPU, too
WORKERS_DEADLINE: Final = 5.0  # for the worker manager to take the request to stop its workers
NATS_PORT: Final = 4222
POSTGRES_PORT: Final = 5432
SERVICE_DEADLINE: Final = 15.0  # for a service to stop after SIGTERM
STRAGGLERS_DEADLINE: Final = 20.0  # for the services of an `up` that was killed to be gone
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


Specs = Callable[[UpSettings, Mapping[str, int], Mapping[str, str], Sequence[int]], Sequence[ProcessSpec]]


def run(*, data_dir: Path | None = None, verbose: bool = False) -> int:
    """Run the platform until Ctrl-C or SIGTERM, and return the exit code. It goes on when its output is closed."""
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

    `started` is called when everything is ready; by default the table of URLs is printed. `signalled` is called with
    the signal that stops the platform. `specs` lists the processes to run as the services. A second signal, half a
    second later or more, ends everything at once.
    """
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
        elif loop.time() - asked_at >= SAME_REQUEST:
            os._exit(1)  # the lifelines take everything along

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
    return 0


async def _live(data_dir: Path | None, verbose: bool, specs: Specs, started: Callable[[Platform], None]) -> None:
    settings = UpSettings.read(os.environ, data_dir=data_dir)
    await _check_settings(os.environ)
    async with AsyncExitStack() as stack:
        held = await _claim(settings.data_dir, stack)
        remembered = RememberedPorts(settings.data_dir / "ports.json")
        ports = _service_ports(settings, remembered)
        nats, postgres = await _start_servers(settings, remembered, stack)
        _remember(remembered, settings, ports, nats, postgres)
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
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(_stop_services, children)
        progress(f"starting {_listed([_spoken(child.spec.name) for child in children])}")
        for child in children:
            child.start()
        await _together(*(_until_healthy(child, session) for child in children))

        urls = {child.spec.name: child.spec.url for child in children}
        worker = KeptWorker(session, urls["worker_manager"], settings.worker, folder=settings.data_dir, say=say)
        stack.push_async_callback(_stop_workers, session, urls["worker_manager"])
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
                watching.create_task(heal_nats(nats, session, say))
            started(Platform(settings, urls, nats_url, database_url, nats, postgres))
            await asyncio.Event().wait()  # until this task is cancelled


# -- before anything starts --------------------------------------------------------------------------


async def _check_settings(environment: Mapping[str, str]) -> None:
    """Have the services' and the worker's own settings checked. Raises WrongSetting with the line that names them."""
    if not any(name.startswith("HODEI_") or name in ("NATS_URL", "DATABASE_URL") for name in environment):
        return  # nothing to check, which saves half a second
    check = await asyncio.create_subprocess_exec(
        *(*_python(), "-m", "shared.service.settings_check", *(name for name, _ in SERVICES), "worker_manager.agent"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(environment),
    )
    _, errors = await check.communicate()
    if check.returncode != 0:
        lines = errors.decode(errors="replace").splitlines()
        raise WrongSetting((lines or ["the settings could not be checked"])[-1])


async def _claim(data_dir: Path, stack: AsyncExitStack) -> int:
    """Lock the data folder. The services inherit the descriptor that is returned, and hold it while they live.

    Two locks: one of `up` itself, which refuses a second `up` at once, and one that its services hold as well, so
    that after a kill the next `up` waits for the last of them instead of finding their ports taken.
    """
    locks = []
    for name in ("up.lock", "services.lock"):
        try:
            data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # once, before anything runs
            locks.append(os.open(data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise EmbeddedError(f"cannot use {data_dir} for the data: {error.strerror}") from None
        stack.callback(os.close, locks[-1])
    own, shared = locks
    if not _lock(own):
        raise EmbeddedError(f"another `hodei up` runs on {data_dir}: stop it, or choose another --data-dir")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STRAGGLERS_DEADLINE
    while not _lock(shared):
        if loop.time() > deadline:
            raise EmbeddedError(f"services of an earlier `hodei up` still run on {data_dir}")
        await asyncio.sleep(0.05)
    return shared


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _service_ports(settings: UpSettings, remembered: RememberedPorts) -> dict[str, int]:
    """The services' ports, each known to be free. 0 is replaced by a free one, if possible by that of the last time."""
    ports: dict[str, int] = {}
    for name, wanted in settings.ports.items():
        try:
            taken = wanted and is_taken(wanted, settings.host)
            port = wanted or _free_again(remembered.get(name), settings.host, besides=ports.values())
        except OSError as error:
            raise EmbeddedError(f"cannot listen on {settings.host}:{wanted}: {error.strerror}") from None
        if taken or port in ports.values():
            raise EmbeddedError(f"port {port} is taken: set {variable_of(name)} to another one")
        ports[name] = port
    return ports


def _free_again(before: int | None, host: str, *, besides: Collection[int]) -> int:
    """The port that was used before, if it can be, else a free one. Raises OSError."""
    return free_port(host) if before is None or before in besides or is_taken(before, host) else before


# -- the servers -------------------------------------------------------------------------------------


async def _start_servers(
    settings: UpSettings, remembered: RememberedPorts, stack: AsyncExitStack
) -> tuple[EmbeddedNats | None, EmbeddedPostgres | None]:
    """Start the servers that the environment does not name. NATS is stopped first.

    Unless the environment gives its port, each takes that of the last start (at first the default), or another one if
    that is taken.
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
        )
        stack.push_async_callback(nats.stop)
    servers = {name: server for name, server in (("PostgreSQL", postgres), ("NATS", nats)) if server is not None}
    if servers:
        progress(f"starting {_listed(list(servers))}, with the data in {settings.data_dir}")
    await _together(*(_start_server(name, server) for name, server in servers.items()))
    if nats is not None and (before := remembered.get("nats")) not in (None, nats.port) and not settings.nats_port:
        say(
            f"port {before} is taken: workers that use NATS there do not find it, which listens on port {nats.port} now"
        )
    return nats, postgres


async def _start_server(name: str, server: EmbeddedNats | EmbeddedPostgres) -> None:
    wanted = server.port
    try:
        await server.start()
    except PortTaken as error:
        variable = "NATS_PORT" if name == "NATS" else "POSTGRES_PORT"
        raise EmbeddedError(f"port {error.port} is taken: set {variable} to another one") from None
    progress(f"{name} is ready on port {server.port}" + (f": port {wanted} is taken" if server.port != wanted else ""))


def _remember(
    remembered: RememberedPorts,
    settings: UpSettings,
    ports: Mapping[str, int],
    nats: EmbeddedNats | None,
    postgres: EmbeddedPostgres | None,
) -> None:
    """Keep the ports that the environment did not give."""
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


async def _together(*work: Coroutine[None, None, None]) -> None:
    """Run these at the same time. The first failure cancels the others; its EmbeddedError is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failed:
        ours, others = failed.split(EmbeddedError)
        if others is not None or ours is None:
            raise
        raise next(error for error in ours.exceptions if isinstance(error, EmbeddedError)) from None


# -- the services and their worker -------------------------------------------------------------------


def services(
    settings: UpSettings, ports: Mapping[str, int], environment: Mapping[str, str], fds: Sequence[int]
) -> list[ProcessSpec]:
    """The three services of the platform."""
    return [
        ProcessSpec(
            name=name,
            command=(*_python(), "-m", name),
            url=f"http://{settings.reach}:{ports[name]}",
            log=settings.data_dir / "logs" / f"{name}.log",
            environment=environment,
            fds=fds,
        )
        for name, _ in SERVICES
    ]


def _python() -> Sequence[str]:
    """The command of this Python. Where hodei is installed, it does not import from the current folder, which may have
    a `scheduler` of its own."""
    try:
        metadata.distribution("hodei-jobs")
    except metadata.PackageNotFoundError:
        return (sys.executable,)
    return (sys.executable, "-P")


async def _until_healthy(child: ServiceProcess, session: aiohttp.ClientSession) -> None:
    await child.healthy(session, deadline=HEALTH_DEADLINE)
    progress(f"{_spoken(child.spec.name)} is ready at {child.spec.url}")


def _spoken(service: str) -> str:
    return f"the {service.replace('_', ' ')}"


def _listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


async def _stop_services(children: Sequence[ServiceProcess]) -> None:
    for child in children:
        child.ask_to_stop()
    for child in children:
        await child.stop(deadline=SERVICE_DEADLINE)


async def _stop_workers(session: aiohttp.ClientSession, manager: str) -> None:
    """Stop the workers. Their tasks are queued again and run after the next start."""
    try:
        async with asyncio.timeout(WORKERS_DEADLINE):
            for worker in await _living_workers(session, manager):
                async with session.delete(f"{manager}/api/v1/workers/{worker}", params={"force": "true"}) as answer:
                    if answer.status >= 400:
                        say(f"worker {worker} was not stopped: {refusal_in_words(answer.status, await answer.read())}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # The worker manager ends its workers when it stops.
        say(f"the workers are ended with the worker manager, which did not stop them: {str(error) or 'no answer'}")


async def _living_workers(session: aiohttp.ClientSession, manager: str) -> list[str]:
    async with session.get(f"{manager}/api/v1/workers", params={"limit": "1000"}) as answer:
        answer.raise_for_status()
        workers = await answer.json()
    return [worker["id"] for worker in workers if worker["status"] in ALIVE]


# -- the table ---------------------------------------------------------------------------------------


def print_table(platform: Platform) -> None:
    """Print the table of addresses, once everything is ready."""
    table = Table(title="Hodei is up", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, url in platform.urls.items():
        table.add_row(name.replace("_", " "), url)
        table.add_row("", f"{url}/swagger-ui")
        table.add_row("", f"{url}/metrics")
    table.add_row("NATS", Text(_without_password(platform.nats_url)))
    if platform.nats is not None:
        table.add_row("", f"{platform.nats.monitoring_url} (monitoring)")
    if platform.postgres is None:
        table.add_row("PostgreSQL", Text(_without_password(platform.database_url)))
    else:
        table.add_row("PostgreSQL", platform.postgres.tcp_url)
        table.add_row("", Text(f"password in {platform.postgres.password_file}"))
    table.add_row("data, logs", Text(str(platform.settings.data_dir)))
    show(table)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
