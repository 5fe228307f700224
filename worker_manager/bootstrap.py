"""Takes the join tokens that were made before the first start (HODEI_BOOTSTRAP_JOIN_TOKENS).

Here: reading the file, and inserting what is new. Not here: making it (`shared.keys`).
"""

from pathlib import Path
from typing import Final

import structlog
from pydantic import Field, TypeAdapter, ValidationError

from schemas.enrolment import UserKey
from schemas.model import Id, Model, Name, Timestamp
from schemas.rest.enrolment import MAX_USES, JoinTokenCreate
from schemas.specs import Labels, WorkerType
from schemas.words import what_would_be_right
from shared.errors import ConfigError
from shared.service import Counts, Loop
from worker_manager.store.enrolment import EnrolmentStore

VARIABLE: Final = "HODEI_BOOTSTRAP_JOIN_TOKENS"
MOST_BYTES: Final = 1 << 20
"""Most bytes of the file."""
LOOK_EVERY: Final = 5.0

_log = structlog.get_logger(__name__)


class FirstJoinToken(Model):
    """An entry of the file: a join token without its text."""

    id: Id
    name: Name
    user_key: UserKey
    type: WorkerType | None = None
    labels: Labels | None = None
    max_uses: int = Field(1, ge=1, le=MAX_USES)
    expires_at: Timestamp


_FILE: Final = TypeAdapter(list[FirstJoinToken])


class FirstJoinTokens(Loop):
    """At its start and every few seconds, as `keys` replaces them, it reads the file at `path`, if there is one, and
    inserts the join tokens that the table does not have. One that was revoked stays revoked."""

    def __init__(self, path: Path | None, store: EnrolmentStore) -> None:
        super().__init__("first join tokens", interval=LOOK_EVERY)
        self._path = path
        self._store = store
        self._taken: set[str] = set()

    async def start(self) -> None:
        """Take the join tokens. Raises ConfigError, in one line, for a file that cannot be read or is not valid."""
        if self._path is not None:
            await self.run_once()
            await super().start()

    async def run_once(self) -> Counts:
        """Take the join tokens that are new. Returns their number."""
        found = [] if self._path is None else read(self._path)
        taken = 0
        for token in found:
            if token.id in self._taken:
                continue
            wanted = JoinTokenCreate(name=token.name, type=token.type, labels=token.labels, max_uses=token.max_uses)
            new = await self._store.take_join_token(
                self._store.database, token.id, token.user_key, wanted, expires_at=token.expires_at
            )
            if new:
                taken += 1
                _log.info("join_token.taken", join_token_id=token.id)
        self._taken = {token.id for token in found}
        return {"taken": taken}


def read(path: Path) -> list[FirstJoinToken]:
    """The entries of a file. Raises ConfigError; the message repeats nothing of the content."""
    try:
        with path.open("rb") as file:
            return _FILE.validate_json(file.read(MOST_BYTES))
    except OSError as error:
        raise ConfigError(f"{VARIABLE}: {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{VARIABLE}: {path}: {where or 'the file'}: {what_would_be_right(first)}") from None
