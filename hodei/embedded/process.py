"""A server under a keeper: start it, wait for its exit, stop it.

keeper.py is the keeper's own code; postgres.py and nats.py define what it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError

KEEPER: Final = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True)
class Identity:
    """The user that a server runs as; `uid` None means this process's own. `capability` is a Linux capability to
    keep."""

    uid: int | None = None
    gid: int = 0
    capability: int | None = None


@dataclass(frozen=True)
class Order:
    """An order for the keeper. `stops` are signals, each with the seconds to wait after it; SIGKILL comes last."""

    command: Sequence[str]
    output: Path
    stops: Sequence[tuple[signal.Signals, float]]
    death_signal: signal.Signals = signal.SIGKILL
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    identity: Identity = Identity()
    stdin: str = ""
    fds: Sequence[int] = ()
    remove: Sequence[Path] = ()

    def encode(self) -> bytes:
        return (
            json.dumps(
                {
                    "command": list(self.command),
                    "output": str(self.output),
                    "stops": [[int(number), seconds] for number, seconds in self.stops],
                    "death_signal": int(self.death_signal),
                    "cwd": None if self.cwd is None else str(self.cwd),
                    "env": dict(self.environment),
                    "uid": self.identity.uid,
                    "gid": self.identity.gid,
                    "capability": self.identity.capability,
                    "input": self.stdin,
                    "fds": list(self.fds),
                    "remove": [str(folder) for folder in self.remove],
                }
            ).encode()
            + b"\n"
        )


class KeptProcess:
    """One running keeper and its server. Not bound to an event loop."""

    def __init__(self, order: Order) -> None:
        self._patience = sum(seconds for _, seconds in order.stops) + 10.0
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=list(order.fds),
            start_new_session=True,  # only this process handles a Ctrl-C in the terminal
        )
        assert self._process.stdin is not None
        self._lifeline = self._process.stdin
        try:
            self._lifeline.write(order.encode())
            self._lifeline.flush()
        except BrokenPipeError:
            pass  # the keeper has ended; its exit code is reported

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """The server's exit code (128+N after signal N), None while it runs."""
        return self._process.poll()

    async def wait(self, patience: float | None = None) -> int:
        """Wait for the exit code. Raises TimeoutError after `patience` seconds."""
        return await wait_for_exit(self._process, patience)

    def ask_to_stop(self) -> None:
        """Ask the server to stop; it ends within the order's deadlines."""
        if not self._lifeline.closed:
            self._lifeline.close()

    async def stop(self) -> int:
        """Ask the server to stop, and wait. Returns its exit code."""
        self.ask_to_stop()
        try:
            return await self.wait(self._patience)
        except TimeoutError:
            self._process.kill()  # the kernel passes it on to the server
            self._process.wait()
            raise EmbeddedError(f"process {self.pid} did not stop in {self._patience:.0f} s") from None


async def wait_for_exit(process: subprocess.Popen[bytes], patience: float | None = None) -> int:
    """Wait for a Popen's exit code without blocking the loop. Raises TimeoutError."""
    if (code := process.poll()) is not None:
        return code
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old kernel: a thread waits instead
        try:
            return await asyncio.to_thread(process.wait, patience)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        async with asyncio.timeout(patience):
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()
