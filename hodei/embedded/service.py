"""One service of the platform as a child process: started, watched, started again when it dies, stopped.

The list of services is in hodei.up_services.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import aiohttp

from hodei.embedded import folder
from hodei.embedded.backoff import Backoff
from hodei.embedded.errors import EmbeddedError
from hodei.embedded.process import wait_for_exit
from schemas.endings import ending_in_words


@dataclass(frozen=True)
class ProcessSpec:
    """The process to run. `url` is where it answers /health; its output goes to `log`."""

    name: str
    command: Sequence[str]
    url: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    fds: Sequence[int] = ()


class ServiceProcess:
    """A running service. `say` is called with lines for the person at the terminal."""

    def __init__(self, spec: ProcessSpec, *, say: Callable[[str], None], verbose: bool = False) -> None:
        self.spec = spec
        self._say = say
        self._verbose = verbose
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0
        self._backoff = Backoff()
        self._asked = False
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        self._since = folder.size_of(self.spec.log)
        self._asked = False
        with ExitStack() as opened:
            output = opened.enter_context(self.spec.log.open("ab", buffering=0))
            self._process = subprocess.Popen(
                list(self.spec.command),
                env={**os.environ, **self.spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._verbose else output,
                stderr=subprocess.STDOUT,
                pass_fds=list(self.spec.fds),
                start_new_session=True,  # only `hodei up` handles a Ctrl-C; it stops the services in order
            )
            if self._process.stdout is not None:
                opened.pop_all()
                _copy_output(self._process.stdout, output)
        self._backoff.began()

    async def healthy(self, session: aiohttp.ClientSession, *, deadline: float) -> None:
        """Return once /health returns `healthy`. Raises EmbeddedError if the service ends (with its last lines) or is
        late."""
        assert self._process is not None
        last = "no answer"
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while loop.time() < until:
            if (code := self._process.poll()) is not None:
                raise EmbeddedError(f"the {self.spec.name} {ending_in_words(code)}:{self._last_lines()}")
            try:
                async with session.get(f"{self.spec.url}/health", timeout=aiohttp.ClientTimeout(2)) as answer:
                    body = await answer.json(content_type=None)
                    if answer.status == 200 and body["status"] == "healthy":
                        return
                    last = str(body)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
                last = str(error) or type(error).__name__
            await asyncio.sleep(0.02)
        raise EmbeddedError(f"the {self.spec.name} was not healthy in {deadline:.0f} s ({last}):{self._last_lines()}")

    def keep(self) -> None:
        """From now on, restart the service whenever it ends."""
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def _keep(self) -> None:
        while self._process is not None:
            code = await wait_for_exit(self._process)
            delay = self._backoff.delay()
            self._say(
                f"the {self.spec.name} {ending_in_words(code)}, restarting it in {delay:g} s (see {self.spec.log})"
            )
            await asyncio.sleep(delay)
            while (problem := self._cannot_start()) is not None:
                delay = self._backoff.delay()
                self._say(f"the {self.spec.name} cannot be started: {problem}; trying again in {delay:g} s")
                await asyncio.sleep(delay)

    def _cannot_start(self) -> OSError | None:
        try:
            self.start()
        except OSError as error:
            return error
        return None

    def ask_to_stop(self) -> None:
        """Send SIGTERM and stop restarting the service. The signal is sent once, as a second one would end it at
        once."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._process is not None and self._process.poll() is None and not self._asked:
            self._asked = True
            self._process.terminate()

    async def stop(self, *, deadline: float) -> None:
        """Stop the service: SIGTERM, then SIGKILL after `deadline` seconds."""
        self.ask_to_stop()
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            await wait_for_exit(process, deadline)
        except TimeoutError:
            self._say(f"the {self.spec.name} did not stop in {deadline:g} s: killed")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _last_lines(self) -> str:
        lines = folder.last_lines(self.spec.log, since=self._since, count=8)
        return "\n  " + "\n  ".join(lines.splitlines()) if lines else " it wrote no message"


def _copy_output(source: IO[bytes], log: IO[bytes]) -> None:
    """Copy a child's output to its log and to this process's standard error, until it ends."""
    loop = asyncio.get_running_loop()
    descriptor = source.fileno()
    os.set_blocking(descriptor, False)

    def copy() -> None:
        data = os.read(descriptor, 65536)
        if data:
            with suppress(OSError):  # a full disk: later output may find room
                log.write(data)
            with suppress(OSError, ValueError):  # its reader has closed it
                sys.stderr.buffer.write(data)
                sys.stderr.flush()
        else:
            loop.remove_reader(descriptor)
            source.close()
            log.close()

    loop.add_reader(descriptor, copy)
