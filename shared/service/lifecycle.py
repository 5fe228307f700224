"""How a process lives: services started in order, signals, an orderly stop within a deadline, exit codes.

A service is anything with `name`, `start()` and `stop()`; each `app.py` says which ones there are. Loops that do
something over and over are in `shared.service.loop`.
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
from shared.service import settings
from shared.service.loop import Counts as Counts
from shared.service.loop import Loop as Loop
from shared.telemetry import LogOutput, configure_logging

_log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 1
EXIT_MISCONFIGURED: Final = 2
HARD_AFTER: Final = 2.0
"""Seconds beyond the stop deadline after which a process whose starter died is ended the hard way."""
LATE: Final = 0.5
"""Seconds beyond the stop deadline in which what is late may still end; and as many once more, cancelled."""
GC_THRESHOLD: Final = (20_000, 20, 50)
"""Allocations until a collection: a batch of events is thousands of objects that all go by reference counting."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

S = TypeVar("S", bound=settings.ProcessSettings)


class Service(Protocol):
    """A part of a process with a beginning and an end.

    `start` returns when the part works; `stop` is called at most once, and only after `start` returned.
    """

    @property
    def name(self) -> str:
        """What log lines call it."""
        ...

    async def start(self) -> None:
        """Begin. Raises HodeiError when it cannot."""
        ...

    async def stop(self) -> None:
        """End: finish what is under way, take nothing new."""
        ...


@runtime_checkable
class Drainable(Protocol):
    """A service that others reach, and so should tell them before it stops."""

    async def take_leave(self, seconds: float) -> None:
        """For so long, go on and say that the end is near."""
        ...


class StopTimeout(HodeiError):
    """Something did not stop within the deadline."""


def main(settings_class: type[S], build: Callable[[S], Sequence[Service]]) -> NoReturn:
    """Run a service's process until a signal ends it: what every `__main__.py` calls.

    `build` wires the parts, in the order in which they start; it is called inside the running loop. Exits 0 after
    an orderly stop, 2 when the configuration is unusable, 1 when anything else fails.
    """
    name = settings_class.service
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

    SIGTERM comes from whoever runs many such processes: before the stop, the parts that others reach have `drain`
    seconds to say so. SIGINT comes from a terminal, where nobody waits for that. A signal during the start stops what
    had started. A second signal ends the process at once. Raises what a service's `start` raised, after stopping the
    others, and StopTimeout after `stop_deadline` seconds of stopping.
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
            gc.freeze()  # what stands now stands until the end: let no collection walk over it again
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
    """End this process at once, whatever runs in it."""
    _log.warning("process.forced", reason=reason)
    os._exit(EXIT_FAILED)


def _ask_from_thread(loop: asyncio.AbstractEventLoop, asked: asyncio.Event, ask: Callable[[str], None]) -> None:
    """The lifeline's end asks for a stop; it does not press one that is under way, as a second signal does."""

    def once() -> None:
        if not asked.is_set():
            ask("lifeline")

    if not loop.is_closed():
        loop.call_soon_threadsafe(once)


async def _start(services: Sequence[Service], started: list[Service], asked: asyncio.Event) -> bool:
    """Start one after the other; False when a stop was asked for in between."""
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
    """Start services in order, noting each in `started` once it runs. Raises what the first failing one raises."""
    for service in services:
        begun = time.monotonic()
        await service.start()
        started.append(service)
        _log.debug("service.started", part=service.name, duration_ms=round((time.monotonic() - begun) * 1000, 3))


async def stop_all(started: Sequence[Service], *, deadline: float) -> None:
    """Stop services in reverse order, one after the other. One that fails to is logged and passed over.

    At the deadline the remaining ones are told all the same, without waiting for one another. Raises StopTimeout when
    one is not over soon after that, having cancelled its stop: something of it may live on.
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
    except Exception:  # noqa: BLE001  # whatever it was, the others still have to be stopped
        _log.exception("service.stop_failed", part=service.name)


def _say(name: str, line: str) -> None:
    LogOutput(sys.stderr).write(f"{name}: {line}\n")
