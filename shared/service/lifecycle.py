"""The lifecycle of a process: services started in order, signals, an orderly stop within a deadline, exit codes.

A service is any object with `name`, `start()` and `stop()`; each `app.py` lists those of its process. Services that
repeat one action are in `shared.service.loop`.
"""

import asyncio
import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol, TypeVar, runtime_checkable

import structlog
import uvloop

from shared.errors import ConfigError, HodeiError
from shared.process import lifeline
from shared.process.secrecy import hide_process
from shared.service import settings
from shared.service.loop import Counts as Counts
from shared.service.loop import Loop as Loop
from shared.telemetry import LogOutput, configure_logging

_log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 1
EXIT_MISCONFIGURED: Final = 2
HARD_AFTER: Final = 2.0
"""Seconds beyond the stop deadline after which a process whose starter died exits without further cleanup."""
LATE: Final = 0.5
"""Seconds beyond the stop deadline in which late services may still end, and the same again after cancelling them."""
GC_THRESHOLD: Final = (20_000, 20, 50)
"""Thresholds of the garbage collector, high because reference counting frees the thousands of objects of a batch."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

S = TypeVar("S", bound=settings.ProcessSettings)


class Service(Protocol):
    """A part of a process that is started and stopped.

    `start` returns when the part works. `stop` is called at most once, and only after `start` returned.
    """

    @property
    def name(self) -> str:
        """Its name in log lines."""
        ...

    async def start(self) -> None:
        """Start. Raises HodeiError when that fails."""
        ...

    async def stop(self) -> None:
        """Stop: accept no new work, and finish current work."""
        ...


@runtime_checkable
class Drainable(Protocol):
    """A service with clients, which it warns before it stops."""

    async def take_leave(self, seconds: float) -> None:
        """Keep serving for `seconds`, and report that the service is about to stop."""
        ...


class StopTimeout(HodeiError):
    """A service did not stop within the deadline."""


def main(settings_class: type[S], build: Callable[[S], Sequence[Service]]) -> NoReturn:
    """Run a process until a signal ends it. Every `__main__.py` calls this.

    `build` returns the services in start order; it is called inside the running event loop. Exits 0 after an orderly
    stop, 2 when the configuration is unusable, 1 after any other error.
    """
    name = settings_class.service
    hide_process()
    try:
        loaded = settings.load(settings_class)
    except ConfigError as error:
        _say(name, str(error))
        sys.exit(EXIT_MISCONFIGURED)
    configure_logging(service=name, format=loaded.log_format, level=loaded.log_level)

    async def live() -> None:
        await run(build(loaded), stop_deadline=loaded.stop_deadline, drain=loaded.drain_seconds)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live())
    except ConfigError as error:
        _say(name, str(error))
        sys.exit(EXIT_MISCONFIGURED)
    except HodeiError as error:
        _say(name, str(error))
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _say(name, f"the port is taken: {error.strerror}")
        sys.exit(EXIT_FAILED)
    sys.exit(0)


async def run(services: Sequence[Service], *, stop_deadline: float, drain: float = 0.0) -> None:
    """Start the services in order, wait for SIGTERM, SIGINT or the lifeline's end, stop them in reverse.

    SIGTERM comes from an orchestrator such as Kubernetes: services with clients then drain for `drain` seconds before
    the stop. SIGINT comes from a terminal and skips the drain. A signal during the start stops the started services. A
    second signal ends the process at once. Raises the error of a service's `start`, after stopping the others, and
    StopTimeout when stopping takes longer than `stop_deadline` seconds.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    reasons: list[str] = []

    def ask(reason: str) -> None:
        if asked.is_set():
            force(reason)
        reasons.append(reason)
        _log.info("process.stopping", reason=reason)
        asked.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, ask, number.name)
    lifeline.watch(lambda: _ask_from_thread(loop, asked, ask), hard_after=drain + stop_deadline + HARD_AFTER)
    started: list[Service] = []
    try:
        if await _start(services, started, asked):
            gc.collect()
            gc.freeze()  # the objects of the start live until the end, so collections need not visit them
            gc.set_threshold(*GC_THRESHOLD)
            _log.info("process.ready")
            await asked.wait()
            if reasons == [signal.SIGTERM.name]:
                await asyncio.gather(
                    *(service.take_leave(drain) for service in started if isinstance(service, Drainable))
                )
    finally:
        try:
            await stop_all(started, deadline=stop_deadline)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
    _log.info("process.stopped")


def force(reason: str) -> NoReturn:
    """End this process at once, without cleanup."""
    _log.warning("process.forced", reason=reason)
    os._exit(EXIT_FAILED)


def _ask_from_thread(loop: asyncio.AbstractEventLoop, asked: asyncio.Event, ask: Callable[[str], None]) -> None:
    """Ask for a stop when the lifeline ends. Unlike a second signal, this does not force a stop in progress."""

    def once() -> None:
        if not asked.is_set():
            ask("lifeline")

    if not loop.is_closed():
        loop.call_soon_threadsafe(once)


async def _start(services: Sequence[Service], started: list[Service], asked: asyncio.Event) -> bool:
    """Start the services one after the other. Returns False if a stop was requested meanwhile."""
    interrupted = asyncio.ensure_future(asked.wait())
    starting = asyncio.ensure_future(start_all(services, started))
    try:
        await asyncio.wait({starting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        interrupted.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    if asked.is_set():
        if not starting.cancelled() and (error := starting.exception()) is not None:
            _log.info("process.start_interrupted", error=str(error))
        return False
    starting.result()
    return True


async def start_all(services: Sequence[Service], started: list[Service]) -> None:
    """Start services in order, and append each to `started` once it runs. Raises the first error of a `start`."""
    for service in services:
        begun = time.monotonic()
        await service.start()
        started.append(service)
        _log.debug("service.started", part=service.name, duration_ms=round((time.monotonic() - begun) * 1000, 3))


async def stop_all(started: Sequence[Service], *, deadline: float) -> None:
    """Stop services in reverse order, one after the other. An error of a `stop` is logged, and the others go on.

    At the deadline the remaining ones are stopped at once, concurrently. A stop that has not ended LATE seconds after
    that is cancelled, and StopTimeout is raised: parts of that service may still run.
    """
    until = time.monotonic() + deadline
    stops: dict[asyncio.Task[None], str] = {}
    for service in reversed(started):
        stop = asyncio.create_task(_stop(service))
        stops[stop] = service.name
        await asyncio.wait({stop}, timeout=max(0.0, until - time.monotonic()))
    if all(stop.done() for stop in stops):
        return
    await asyncio.wait(stops, timeout=LATE)
    late = {stop: name for stop, name in stops.items() if not stop.done()}
    if late:
        for stop in late:
            stop.cancel()
        await asyncio.wait(late, timeout=LATE)
        raise StopTimeout(f"{next(iter(late.values()))} did not stop within {deadline:g} s")


async def _stop(service: Service) -> None:
    try:
        await service.stop()
    except Exception:  # noqa: BLE001  # after any error the others must still be stopped
        _log.exception("service.stop_failed", part=service.name)


def _say(name: str, line: str) -> None:
    LogOutput(sys.stderr).write(f"{name}: {line}\n")
