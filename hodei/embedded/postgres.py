"""An embedded PostgreSQL server on a data folder: initialised once, started, stopped, restarted in place.

This module has the server's life and settings. Its data are in hodei.embedded.cluster, its programs in
hodei.embedded.postgres_programs. The services connect through a unix socket in a private folder, where the kernel shows
PostgreSQL their user (`peer`). TCP is on loopback only and requires the password, which is beside the data in a 0600
file.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from hodei.embedded import folder
from hodei.embedded.cluster import DATABASE, ROLE, Cluster
from hodei.embedded.errors import EmbeddedError, PortTaken
from hodei.embedded.ports import LOOPBACK, settle
from hodei.embedded.postgres_programs import installation
from hodei.embedded.process import KeptProcess

UNUSED_PORT: Final = 5432  # names the socket file when there is no TCP


class EmbeddedPostgres:
    """One PostgreSQL server on `data_dir`; an async context manager.

    `port` None turns TCP off. If the port is taken at the first start, `may_move` allows another one, which a restart
    keeps; otherwise PortTaken is raised. `fsync=False` is for tests: a power cut then loses the data. Raises
    EmbeddedError, in one line, when the server cannot start.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        may_move: bool = False,
        fsync: bool = True,
        start_deadline: float = 30.0,
        lock_patience: float = 10.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._may_move = may_move
        self._fsync = fsync
        self._start_deadline = start_deadline
        self._lock_patience = lock_patience
        self._cluster = Cluster(self.data_dir, fsync=fsync, deadline=start_deadline)
        self.log = self._cluster.log
        self._server: KeptProcess | None = None

    # -- where it is ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of the database `hodei` through the unix socket; it has no password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self._cluster.run_dir))}&port={self._socket_port}"

    @property
    def tcp_url(self) -> str:
        """The URL over loopback TCP, without the password. Raises EmbeddedError when TCP is off."""
        if self.port is None:
            raise EmbeddedError("this PostgreSQL does not listen on TCP")
        return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def password_file(self) -> Path:
        return self._cluster.password_file

    @property
    def server_pid(self) -> int:
        """The process id of PostgreSQL itself."""
        return self._cluster.server_pid

    @property
    def is_stopping(self) -> bool:
        """Whether the server was told to stop and has not ended yet."""
        return self._cluster.state() == "stopping"

    def end_fast(self) -> None:
        """Make the server cut its clients' connections and stop. Returns at once."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self.server_pid, signal.SIGINT)

    @property
    def _socket_port(self) -> int:
        return UNUSED_PORT if self.port is None else self.port

    # -- life ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        if self._server is not None:
            return
        programs = installation() / "bin"
        lock = await folder.lock(self.data_dir, "PostgreSQL", patience=self._lock_patience)
        try:
            try:
                await self._start(lock, programs)
            except PortTaken:
                if not self._may_move:
                    raise
                await self._start(lock, programs)
        except OSError as error:
            raise EmbeddedError(f"PostgreSQL cannot use {self.data_dir}: {error.strerror}") from error
        finally:
            os.close(lock)  # the server holds it from here on

    async def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, committed ones stay."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait until the server ends by itself. Returns its exit code."""
        if self._server is None:
            raise EmbeddedError("this PostgreSQL is not running")
        return await self._server.wait()

    async def _start(self, lock: int, programs: Path) -> None:
        await self._cluster.prepare(lock, programs)
        if self.port is not None:
            self.port = settle(self.port, may_move=self._may_move)
        self._cluster.write_access_rules()
        # The lock shows that no server uses these data, so a pid file is left over from an earlier one. It may contain
        # the pid of an unrelated process, and PostgreSQL would refuse to start.
        self._cluster.forget_server()
        since = folder.size_of(self.log)
        remove = self._cluster.make_run_dir()
        server = KeptProcess(self._cluster.order("postgres", *self._settings(), fds=(lock,), remove=remove))
        try:
            await self._ready(server, since)
        except BaseException:
            await server.stop()
            raise
        self._server = server
        self._may_move = False

    async def _ready(self, server: KeptProcess, since: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_deadline
        while self._cluster.state() != "ready":
            if server.exit_code() is not None:
                if self.port is not None:
                    settle(self.port, may_move=False)  # was it taken in the meantime?
                raise EmbeddedError(f"PostgreSQL did not start: {self._cluster.reason(since)}")
            if loop.time() > deadline:
                raise EmbeddedError(f"PostgreSQL was not ready in {self._start_deadline:.0f} s: see {self.log}")
            await asyncio.sleep(0.005)

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "" if self.port is None else LOOPBACK,
            "port": str(self._socket_port),
            "unix_socket_directories": str(self._cluster.run_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # By default each of some 1400 files is synchronised after a crash, which takes seconds on a busy disk.
            "recovery_init_sync_method": "syncfs",
        }
        if not self._fsync:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        arguments = []
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        return arguments
