"""The data of an embedded PostgreSQL: its cluster, initialised once, the password, and the folder of its socket.

This module makes them, sets their owner, and runs PostgreSQL's programs on them; hodei.embedded.postgres has the
server's life. A socket's path has a length limit, and PostgreSQL or its clients misread some characters. If the data's
path is not suitable, the socket's folder is a temporary one, with a link through which PostgreSQL reaches the data.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import Final

from hodei.embedded import folder
from hodei.embedded.errors import EmbeddedError
from hodei.embedded.identity import unprivileged
from hodei.embedded.ports import LOOPBACK
from hodei.embedded.postgres_programs import PLAIN_PATH, programs_for_initdb
from hodei.embedded.process import Identity, KeptProcess, Order

ROLE: Final = "hodei"
DATABASE: Final = "hodei"
SOCKET_PATH_LIMIT: Final = 107
STOPS: Final = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0))  # fast shutdown, then immediate


class Cluster:
    """The data in `data_dir`. `deadline` is the seconds that one program may take. Raises EmbeddedError, in one
    line."""

    def __init__(self, data_dir: Path, *, fsync: bool, deadline: float) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "cluster"
        self.password_file = data_dir / "password"
        self.run_dir = data_dir / "run"
        self.log = data_dir / "postgres.log"
        self._reached = data_dir  # the path by which PostgreSQL reaches the data
        self._temporary: Path | None = None
        self._fsync = fsync
        self._deadline = deadline
        self._identity = Identity()
        self._programs = Path()

    @property
    def server_pid(self) -> int:
        """The process id of PostgreSQL itself."""
        return int(self._pid_file.read_text().split("\n", 1)[0])

    def state(self) -> str:
        """The server's state, from the eighth line of its pid file, which pg_ctl reads as well."""
        try:
            lines = self._pid_file.read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) >= 8 else ""

    def forget_server(self) -> None:
        """Remove the pid file of an earlier server."""
        self._pid_file.unlink(missing_ok=True)

    def reason(self, since: int) -> str:
        """The line of the log, from byte `since` on, with the reason why a program failed."""
        lines = folder.last_lines(self.log, since=since, count=20).splitlines()
        telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error"))]
        return (telling or lines or ["it wrote no message"])[0]

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    # -- making it -----------------------------------------------------------------------------------

    async def prepare(self, lock: int, programs: Path) -> None:
        """Choose the user to run as, and initialise the cluster if there is none. `programs` is PostgreSQL's bin/."""
        self._programs = programs
        self._identity = unprivileged(self.folder, folders=(self.data_dir,), programs=(programs / "postgres",))
        fresh = not self.folder.exists()
        if fresh:
            await self._initialise(lock)
        elif self._identity.uid is None and self.folder.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{self.folder} belongs to another user")
        elif self._identity.uid is not None and self.folder.stat().st_uid == 0:
            self._give(self.folder)
        if not self.password_file.exists():
            self.forget_server()
            await self._set_password(lock, self.folder)

    async def _initialise(self, lock: int) -> None:
        making = self.data_dir / "cluster.new"  # renamed when complete: half a cluster is never mistaken for one
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        self._give(making)
        programs, remove = programs_for_initdb(self._programs)
        for path in remove:
            self._give(path)
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
        making.rename(self.folder)

    async def _set_password(self, lock: int, cluster: Path, more_sql: str = "") -> None:
        password = secrets.token_urlsafe(24)
        fsync = "on" if self._fsync and cluster == self.folder else "off"
        await self._once(
            lock,
            cluster,
            *("postgres", "--single"),
            *("-c", f"fsync={fsync}", "-c", "exit_on_error=on", "postgres"),
            stdin=f"ALTER ROLE {ROLE} PASSWORD '{password}';\n{more_sql}",
        )
        making = self.password_file.with_suffix(".new")
        making.unlink(missing_ok=True)
        making.touch(mode=0o600)
        making.write_text(password + "\n")
        making.rename(self.password_file)

    def write_access_rules(self) -> None:
        """Write the access rules, at every start, because this process may run as another user than last time."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        rules = {
            "pg_hba.conf": f"local all all peer map={ROLE}\nhost all all {LOOPBACK}/32 scram-sha-256\n",
            "pg_ident.conf": f'{ROLE} "{user}" {ROLE}\n',
        }
        for name, text in rules.items():
            path = self.folder / name
            path.write_text(text)
            path.chmod(0o600)
            self._give(path)

    def make_run_dir(self) -> tuple[Path, ...]:
        """Make the socket's folder: in the data if the path is suitable, else a temporary one. Returns paths to remove
        afterwards."""
        self.run_dir, self._reached = self.data_dir / "run", self.data_dir
        length = len(os.fsencode(self.run_dir / ".s.PGSQL.65535"))
        # Clients take the host in the address for a list and split it at commas; programs pass paths on through a shell
        # and write them into files of lines; a path may have at most 1,023 bytes.
        if length <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(str(self.run_dir)):
            shutil.rmtree(self.run_dir, ignore_errors=True)
            self.run_dir.mkdir(mode=stat.S_IRWXU)
            self._give(self.run_dir)
            return ()
        self.run_dir = self._temporary = self._make_temporary()
        self._reached = self.run_dir / "data"
        self._reached.symlink_to(self.data_dir)
        self._give(self.run_dir)
        return (self.run_dir,)

    def _make_temporary(self) -> Path:
        """A new folder, at the same path as before if that is free: clients look for a server that restarts there."""
        if self._temporary is not None:
            try:
                self._temporary.mkdir(mode=stat.S_IRWXU)
            except FileExistsError:
                pass  # it is still being removed, or belongs to others
            else:
                return self._temporary
        return Path(tempfile.mkdtemp(prefix="hodei-", dir="/tmp"))

    def _give(self, path: Path) -> None:
        """Change the owner of a file, or of a folder with its content, to the user that the server runs as."""
        if self._identity.uid is None:
            return
        os.chown(path, self._identity.uid, self._identity.gid, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            for child in path.iterdir():
                self._give(child)

    # -- its programs --------------------------------------------------------------------------------

    def order(
        self,
        program: str,
        *arguments: str,
        cluster: Path | None = None,
        stdin: str = "",
        fds: tuple[int, ...] = (),
        remove: tuple[Path, ...] = (),
        programs: Path | None = None,
    ) -> Order:
        """An order to run a program on these data, or on the unfinished ones in the folder `cluster`."""
        return Order(
            command=(str((programs or self._programs) / program), *arguments),
            output=self.log,
            stops=STOPS,
            death_signal=signal.SIGQUIT,  # immediate shutdown: it takes limited time, and the next start recovers
            cwd=self.data_dir,
            environment={
                **{"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                "PGDATA": str(self._reached / (cluster or self.folder).relative_to(self.data_dir)),
            },
            identity=self._identity,
            stdin=stdin,
            fds=fds,
            remove=remove,
        )

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
        remove = (*remove, *self.make_run_dir())
        order = self.order(
            program, *arguments, cluster=cluster, stdin=stdin, fds=(lock,), remove=remove, programs=programs
        )
        process = KeptProcess(order)
        try:
            code = await process.wait(self._deadline)
        except TimeoutError:
            raise EmbeddedError(f"{program} took over {self._deadline:.0f} s: see {self.log}") from None
        finally:
            await process.stop()
        if code != 0:
            raise EmbeddedError(f"{program} failed: {self.reason(since)}")
