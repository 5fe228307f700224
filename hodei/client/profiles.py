"""Profiles: platforms that `hodei login` remembers, each with its addresses, its CA and a token, in one file.

The file is `hodei/profiles.json` in the user's configuration folder (XDG_CONFIG_HOME, or ~/.config). Only its owner may
read it (0600): one that others can read is refused, because it holds tokens.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hodei.client.errors import WrongSetting

DEFAULT: Final = "default"
"""The name of a profile that is not given another."""

ProfileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Profile(BaseModel):
    """One platform. Fields that a later version adds are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    orchestrator: str
    scheduler: str
    worker_manager: str
    ca: str | None = None
    token: str | None = Field(None, repr=False)


class _Contents(BaseModel):
    model_config = ConfigDict(extra="allow")

    current: str | None = None
    profiles: dict[ProfileName, Profile] = {}


class Profiles:
    """The profiles in the file at `path`. The current one is used when no other is named."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Profiles":
        """The profiles of the user with this environment; none for a user without a home folder."""
        return cls(_file(environment))

    @property
    def path(self) -> Path:
        """The file. Raises WrongSetting for a user without a home folder."""
        if self._path is None:
            raise WrongSetting("profiles need a folder: set XDG_CONFIG_HOME or HOME")
        return self._path

    def get(self, name: str | None = None) -> Profile | None:
        """The profile of this name, or the current one; None if it does not exist. Raises WrongSetting."""
        contents = self._read()
        return contents.profiles.get(name or contents.current or "")

    def current(self) -> str | None:
        """The name of the current profile. Raises WrongSetting."""
        return self._read().current

    def names(self) -> list[str]:
        """The names of all profiles. Raises WrongSetting."""
        return sorted(self._read().profiles)

    def put(self, name: str, profile: Profile) -> None:
        """Write a profile, which becomes the current one. Raises WrongSetting."""
        with self._changing() as contents:
            contents.profiles[name] = profile
            contents.current = name

    def remove(self, name: str) -> None:
        """Remove a profile. Without another the current one stays unset. Raises WrongSetting."""
        with self._changing() as contents:
            contents.profiles.pop(name, None)
            if contents.current == name:
                contents.current = None

    def _read(self) -> _Contents:
        if self._path is None:
            return _Contents()
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError:
            return _Contents()
        except OSError as error:
            raise WrongSetting(f"{self._path}: {error.strerror}") from None
        if stat.S_IMODE(mode) & 0o077:
            raise WrongSetting(f"{self._path} holds tokens and can be read by other users: run chmod 600 {self._path}")
        try:
            return _Contents.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise WrongSetting(f"{self._path}: {where}: {first['msg']}") from None

    @contextmanager
    def _changing(self) -> Iterator[_Contents]:
        """The contents, to be changed; they are written as a whole, and other processes wait meanwhile."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise WrongSetting(f"{folder}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            contents = self._read()
            yield contents
            self._write(contents.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
        finally:
            os.close(lock)

    def _write(self, text: bytes) -> None:
        new = self.path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # of a process that was killed
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise WrongSetting(f"{self.path}: {error.strerror}") from None


def _file(environment: Mapping[str, str]) -> Path | None:
    folder = Path(environment.get("XDG_CONFIG_HOME") or "")
    if not folder.is_absolute():  # a relative one is not valid (XDG Base Directory Specification)
        try:
            folder = Path.home() / ".config"
        except RuntimeError:
            return None
    return folder / "hodei" / "profiles.json"
