"""Takes the tokens that were made before the first start, such as the first admin's (HODEI_BOOTSTRAP_TOKENS).

A token whose id is known, revoked ones included, is left as it is, so that the file may stay where it is.
"""

from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from orchestrator.store.tokens import TokenStore
from schemas.access import BootstrapToken
from schemas.events import TokenCreated
from schemas.words import what_would_be_right
from shared.access.sync import TokenSync
from shared.errors import ConfigError
from shared.outbox import Outbox

MOST_BYTES: Final = 1 << 20
"""Most bytes of the file."""

_FILE: Final = TypeAdapter(list[BootstrapToken])
_log = structlog.get_logger(__name__)


class Bootstrap:
    """A service: at its start it reads the file at `path`, if there is one, and inserts new tokens."""

    name: Final = "bootstrap"

    def __init__(self, path: Path | None, store: TokenStore, sync: TokenSync, outbox: Outbox) -> None:
        self._path = path
        self._store = store
        self._sync = sync
        self._outbox = outbox

    async def start(self) -> None:
        """Take the tokens. Raises ConfigError, in one line, for a file that cannot be read or is not valid."""
        if self._path is None:
            return
        for token in read(self._path):
            created = TokenCreated(token_id=token.id, name=token.name, role=token.role, sha256=token.sha256)
            async with self._outbox.transaction() as tx:
                new = await self._store.take(tx, token)
                if new:
                    tx.emit(created)
            if new:
                self._sync.created(created)
                _log.info("token.taken", token_id=token.id, role=token.role.value)

    async def stop(self) -> None:
        """Nothing to undo."""


def read(path: Path) -> list[BootstrapToken]:
    """The entries of a file. Raises ConfigError; the message repeats nothing of the content."""
    try:
        with path.open("rb") as file:
            return _FILE.validate_json(file.read(MOST_BYTES))
    except OSError as error:
        raise ConfigError(f"HODEI_BOOTSTRAP_TOKENS: {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"HODEI_BOOTSTRAP_TOKENS: {path}: {where or 'the file'}: {what_would_be_right(first)}"
        ) from None
