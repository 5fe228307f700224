"""The agent's folder: its worker id, the spool of what it could not say yet, and the scratch folders.

One agent at a time works on a folder (a lock says so). Without HODEI_STATE_DIR it is a private folder below the
system's temporary one, named after the worker, and removed at a clean end.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from schemas.ids import is_id
from shared.errors import ConfigError
from shared.ids import new_id

_ID_FILE: Final = "worker-id"
_LOCK_FILE: Final = "agent.lock"


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
                self.path = given
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise ConfigError(f"another agent is working in {self.path}") from None
            self.worker_id = worker_id or self._kept_id()
        except OSError as error:
            raise ConfigError(f"the state folder cannot be used: {error.filename}: {error.strerror}") from error

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

    def close(self) -> None:
        """Let another agent have it; nothing stays of a temporary one unless something is still to be said."""
        if self._temporary and not any(self.spool.rglob("*.spool")):
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _kept_id(self) -> str:
        file = self.path / _ID_FILE
        if file.exists():
            kept = file.read_text().strip()
            if not is_id(kept):
                raise ConfigError(f"{file} holds no worker id")
            self.known = True
            return kept
        fresh = new_id()
        file.write_text(fresh + "\n")
        return fresh


def _private_root() -> Path:
    root = Path(tempfile.gettempdir()) / f"hodei-agents-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{root} is not private to this user; set HODEI_STATE_DIR")
    return root
