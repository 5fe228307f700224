"""How NATS admits this process, and what it then refuses it.

Here: the credentials that are shown at each connect, and the server's refusals of single subjects, which it reports
apart from the message that it refuses. Not here: the connection (`shared.bus.connection`), and which subjects a user
may use (`schemas.permissions`).
"""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from nats import errors as nats_errors

from shared.errors import ConfigError, NotPermitted
from shared.keys import Credentials, KeyPair, Kind

log = structlog.get_logger(__name__)

CREDENTIALS: Final = "HODEI_NATS_CREDENTIALS"
WORKERS: Final = "a worker needs a join token (hodei worker --join)"
"""What to do about a worker without credentials."""
TOLD: Final = 1000
"""Subjects of which the log says once that NATS refuses them to this user."""

_NOT_ADMITTED: Final = "authorization violation"
_NOT_PERMITTED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
"""The server's message, as nats-py passes it on: in lower case, the subject too."""


class Admission:
    """The credentials in a file, which is read again at each connect, so that renewed ones need no restart. Without a
    file, NATS has to admit this process as it is; `advice` is for when it does not."""

    def __init__(self, file: Path | None, advice: str = f"{CREDENTIALS} is not set") -> None:
        self._file = file
        self._advice = advice

    def check(self) -> None:
        """Raises ConfigError when the file has no credentials."""
        if self._file is not None:
            try:
                Credentials.read(self._file)
            except ConfigError as error:
                raise ConfigError(f"{CREDENTIALS}: {error}") from error

    @property
    def jwt(self) -> Callable[[], bytes] | None:
        """Returns this user's JWT; None without credentials."""
        return None if self._file is None else lambda: self._read().jwt.encode()

    @property
    def sign(self) -> Callable[[str], bytes] | None:
        """Signs the server's nonce; None without credentials."""
        return None if self._file is None else self._sign

    def hint(self, why: str) -> str:
        """The reason why no server admits this process, with what to do."""
        if self._file is None and not_admitted(why):
            return f"{why}; it asks for credentials: {self._advice}"
        return why

    def _sign(self, nonce: str) -> bytes:
        return base64.b64encode(KeyPair.of(self._read().seed, Kind.USER).sign(nonce.encode()))

    def _read(self) -> Credentials:
        """Raises nats-py's own error, after which it tries to connect again."""
        assert self._file is not None
        try:
            return Credentials.read(self._file)
        except ConfigError as error:
            raise nats_errors.Error(str(error)) from error


class Refusals:
    """The subjects that NATS refuses to this user, as the error callback hears of them."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []
        self._told: set[tuple[str, str]] = set()

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener(subject)` for each refused publish; the subject is in lower case. Returns a function that
        removes the listener."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def take(self, error: Exception) -> bool:
        """Handle an error of the client if it is a refusal. Returns whether it is one."""
        found = _NOT_PERMITTED.search(str(error))
        if found is None:
            return False
        way, subject = found[1], found[2]
        level = log.debug if (way, subject) in self._told else log.error
        if len(self._told) < TOLD:
            self._told.add((way, subject))
        if way == "publish":
            level("bus.publish_not_permitted", subject=subject)
            for listener in list(self._listeners):
                listener(subject)
        else:
            level("bus.subscription_not_permitted", subject=subject)
        return True


def not_admitted(error: str) -> bool:
    """Whether the error's text says that the server does not admit this process."""
    return _NOT_ADMITTED in error.lower()


def not_permitted(subject: str) -> NotPermitted:
    """The error for a publish that NATS refused."""
    return NotPermitted(f"{subject}: the credentials of this process may not publish it")
