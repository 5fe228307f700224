"""The first join token of a platform: with it the workers of the compose files enrol.

    join-token          its text, for the workers
    join-tokens.json    what the worker manager has to know of it, for HODEI_BOOTSTRAP_JOIN_TOKENS

Here: making it, and another one before it expires. Not here: its form (`schemas.enrolment`), and enrolment (the worker
manager).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from schemas import permissions
from schemas.enrolment import JoinTokenText
from schemas.model import rfc3339
from schemas.subjects import Catalogue
from shared.errors import ConfigError
from shared.ids import new_id
from shared.keys import claims
from shared.keys.files import keep_private, private_folder, read_text, write_private
from shared.keys.pairs import BadKey, KeyPair, Kind

JOIN_TOKEN: Final = "join-token"
JOIN_TOKENS: Final = "join-tokens.json"
NAME: Final = "compose"
USES: Final = 500
LIFE: Final = timedelta(days=7)
RENEW_BEFORE: Final = timedelta(days=6)
"""A join token that expires sooner than this is replaced. Workers that enrolled with it stay. Commands that a worker
runs can read it: so it is short-lived, and an `up` on a later day makes another one."""


@dataclass(frozen=True, slots=True)
class Joiners:
    """The only type, and the labels, that workers of the join token may have; None for any."""

    type: str | None = None
    labels: Mapping[str, str] | None = None


ANY: Final = Joiners()


def make_join_token(
    folder: Path, *, signer: KeyPair, catalogue: Catalogue, moment: datetime, joiners: Joiners = ANY
) -> Iterator[Path]:
    """Make the join token if there is none, or it expires soon, or is of other keys or for other workers, and yield the
    files that were written. Raises ConfigError for a file that is not what it should be."""
    private_folder(folder)
    path, listed = folder / JOIN_TOKEN, folder / JOIN_TOKENS
    made = _made(signer, catalogue, moment)
    if keep_private(path, made):
        yield path
    elif not _is_good(path, signer, moment) or (listed.exists() and read_text(listed) != _listed(path, joiners)):
        write_private(path, made)
        yield path
    text = _listed(path, joiners)
    if keep_private(listed, text):
        yield listed
    elif read_text(listed) != text:
        write_private(listed, text)
        yield listed


def _made(signer: KeyPair, catalogue: Catalogue, moment: datetime) -> str:
    id, pair = new_id(), KeyPair.new(Kind.USER)
    allowed = permissions.enrolment(catalogue, id)
    jwt = claims.user(signer, pair.public, id, allowed, now=moment, expires=moment + LIFE)
    return JoinTokenText(id, jwt, pair.seed).text + "\n"


def _is_good(path: Path, signer: KeyPair, moment: datetime) -> bool:
    said = claims.read(_read(path).jwt)
    return said["iss"] == signer.public and _expiry(path) > moment + RENEW_BEFORE


def _listed(path: Path, joiners: Joiners) -> str:
    return json.dumps([_entry(path, joiners)], indent=2) + "\n"


def _entry(path: Path, joiners: Joiners) -> dict[str, object]:
    token = _read(path)
    public = KeyPair.of(token.seed, Kind.USER).public
    return {
        "id": token.id,
        "name": NAME,
        "user_key": public,
        "type": joiners.type,
        "labels": None if joiners.labels is None else dict(joiners.labels),
        "max_uses": USES,
        "expires_at": rfc3339(_expiry(path)),
    }


def _expiry(path: Path) -> datetime:
    expiry = claims.expiry(_read(path).jwt)
    if expiry is None:
        raise ConfigError(f"{path} is a join token that never expires")
    return datetime.fromtimestamp(expiry, UTC)


def _read(path: Path) -> JoinTokenText:
    try:
        token = JoinTokenText.parse(read_text(path))
        KeyPair.of(token.seed, Kind.USER)
    except (ValueError, BadKey) as error:
        raise ConfigError(f"{path}: {error}") from None
    return token
