"""The agent's folder: its worker id, the spools, the scratch folders, and the files for outputs.

One agent at a time works in a folder. The folder itself is locked: a lock on a file in it could be lost with the file.
`restore` makes vanished parts again. Without HODEI_STATE_DIR it is a private folder below the system's temporary one,
named after the worker, and removed when the agent stops in order.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import structlog

from schemas.agents import MAX_STOPPED
from schemas.ids import is_id
from shared.errors import ConfigError
from shared.ids import new_id
from shared.worker_keys import holder_in

log = structlog.stdlib.get_logger(__name__)

_ID_FILE: Final = "worker-id"
_LOCK_FILE: Final = "agent.lock"
_STOPPED_FILE: Final = "stopped"


class StateFolder:
    """The folder of one worker's agent, made and locked. Raises ConfigError when it cannot be used."""

    def __init__(self, given: Path | None, worker_id: str | None) -> None:
        self._temporary = given is None
        self.known = worker_id is not None
        """Whether the worker may have run before under this id."""
        try:
            if given is None:
                worker_id = worker_id or new_id()
                self.path = _private_root() / worker_id
            else:
                self.path = given.absolute()
            self._lock = self._take()
            try:
                self.worker_id = worker_id or self._kept_id()
            except BaseException:
                self._lock.close()
                raise
        except OSError as error:
            raise ConfigError(
                f"HODEI_STATE_DIR: the state folder cannot be used: {error.filename}: {error.strerror}"
            ) from error

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def log_spool(self) -> Path:
        return self.spool / "logs"

    @property
    def alive(self) -> Path:
        return self.path / "alive"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def outputs(self) -> Path:
        return self.path / "outputs"

    @property
    def ours(self) -> bool:
        """Whether its path still leads to the folder that this agent has locked."""
        return self._lock.there

    def restore(self) -> None:
        """Make vanished parts of the folder again.

        Raises OSError when that fails, and ConfigError when another agent has made the folder anew and works in it:
        then this agent has to stop.
        """
        if not self.ours:
            fresh = self._take()
            self._lock.close()
            self._lock = fresh
            log.warning("state.folder_made_again", folder=str(self.path))
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            self.path.chmod(0o700)  # a command may have changed its permissions
        if not self._temporary and not (self.path / _ID_FILE).exists():
            self._keep_id(self.worker_id)

    def stopped(self) -> tuple[str, ...]:
        """The last incarnations of this worker that stopped on order, as `note_stop` recorded them."""
        try:
            return tuple(filter(is_id, (self.path / _STOPPED_FILE).read_text().split()[-MAX_STOPPED:]))
        except (OSError, ValueError):
            return ()  # none was recorded, or the record is unreadable: then their ends count as crashes

    def note_stop(self, incarnation: str) -> None:
        """Record for later starts that this incarnation stopped on order. A temporary folder has no later start."""
        if self._temporary:
            return
        noted = [*self.stopped(), incarnation][-MAX_STOPPED:]
        try:
            (self.path / _STOPPED_FILE).write_text("\n".join(noted) + "\n")
        except OSError as error:
            log.warning("state.stop_not_noted", folder=str(self.path), error=str(error))

    def close(self) -> None:
        """Release the lock. A temporary folder is removed, unless its spools still hold messages."""
        if self._temporary and self.ours and not any(self.spool.rglob("*.spool")):
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def _take(self) -> "_Lock":
        """Make the folder and lock it. Raises OSError, and ConfigError when another agent holds it."""
        if self._temporary:
            _private_root()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            try:
                return _Lock(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except BlockingIOError:
                raise
            except OSError:  # a network file system may lock files only
                return _Lock(self.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            raise ConfigError(f"another agent is working in {self.path}") from None

    def _kept_id(self) -> str:
        file = self.path / _ID_FILE
        kept = file.read_text().strip() if file.exists() else ""
        if kept:  # an empty file was written on a full disk
            if not is_id(kept):
                raise ConfigError(f"{file} holds no worker id")
            self.known = True
            return kept
        enrolled = holder_in(self.path)
        if enrolled is not None and is_id(enrolled):  # the file was lost; NATS admits no other worker from here
            self.known = True
            self._keep_id(enrolled)
            return enrolled
        fresh = new_id()
        self._keep_id(fresh)
        return fresh

    def _keep_id(self, worker_id: str) -> None:
        (self.path / _ID_FILE).write_text(worker_id + "\n")


class _Lock:
    """A lock on a file or folder, held until `close` or the process's end. Raises BlockingIOError when another holds
    it."""

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise

    @property
    def there(self) -> bool:
        """Whether its path still leads to the file or folder that was locked."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._fd)


def _private_root() -> Path:
    root = Path(tempfile.gettempdir()) / f"hodei-agents-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{root} is not private to this user; set HODEI_STATE_DIR")
    return root
