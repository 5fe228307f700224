"""Enrolment: how a worker gets credentials for the bus, as messages on core NATS, and the text of a join token.

A worker asks on `enrol.<join token>` with the user of a join token, which may do nothing else, and later for fresh
credentials on `agents.<worker>.renew`. It makes its key pair itself: only the public key is ever sent. REST has the
operator's side (`schemas.rest.enrolment`).
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints

from schemas.ids import UUID_PATTERN, is_id
from schemas.model import EventModel, Instant, Name
from schemas.specs import Labels, WorkerType

PREFIX: Final = "hodei_join_"
"""How a join token begins, so that it is not taken for a bearer token."""
LONGEST: Final = 8192
"""Most characters of a join token."""
USER_KEY: Final = r"^U[A-Z2-7]{55}$"
"""The public key of a NATS user."""
CREDENTIALS_LIFE: Final = 24 * 3600
"""Seconds for which a worker's credentials are good."""
RENEWAL_LIFE: Final = 30 * 24 * 3600
"""Seconds for which those are good with which a worker may only ask for new ones: for one that was cut off for long."""

UserKey = Annotated[str, StringConstraints(pattern=USER_KEY)]
Proof = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
WorkerId = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]

_FORM: Final = re.compile(PREFIX + r"([\w-]+\.([\w-]+)\.[\w-]+)\.(SU[A-Z2-7]{56})", re.ASCII)


class Refusal(StrEnum):
    """Why a worker gets no credentials."""

    UNREADABLE = "unreadable"
    UNKNOWN_TOKEN = "unknown_token"
    REVOKED_TOKEN = "revoked_token"
    EXPIRED_TOKEN = "expired_token"
    USED_UP = "used_up"
    OTHER_TYPE = "other_type"
    OTHER_LABELS = "other_labels"
    OTHER_WORKER = "other_worker"
    UNPROVEN_KEY = "unproven_key"
    TAKEN_KEY = "taken_key"
    REVOKED_WORKER = "revoked_worker"
    UNAVAILABLE = "unavailable"

    @property
    def passing(self) -> bool:
        """Whether the worker may ask again."""
        return self is Refusal.UNAVAILABLE


class Enrol(EventModel):
    """A worker asks for its first credentials, and says what it will be."""

    worker_id: WorkerId
    user_key: UserKey = Field(description="The public key that the worker made.")
    proof: Proof = Field(description="The signature of `proof_text` with the private key, in base64.")
    name: Name
    type: WorkerType = "default"
    labels: Labels = Field(default_factory=dict)


def proof_text(join_token_id: str, worker_id: str, user_key: str) -> bytes:
    """What a worker signs with the key that it enrols: only the owner of the private key can, and the signature is good
    for nothing but this worker's enrolment with this join token."""
    return f"hodei worker enrolment\njoin token {join_token_id}\nworker {worker_id}\nkey {user_key}\n".encode()


class Renew(EventModel):
    """A worker asks for new credentials; the subject names it."""

    user_key: UserKey


class Grant(EventModel):
    """The worker's credentials, two JWTs of its key: `jwt` for all that it does, `renewal_jwt` to ask for new ones
    after `jwt` has expired. Or why there are none."""

    jwt: str | None = None
    renewal_jwt: str | None = None
    expires_at: Instant | None = None
    refusal: Refusal | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class JoinTokenText:
    """A join token taken apart: its id, and the JWT and the seed of the NATS user that it stands for."""

    id: str
    jwt: str
    seed: str

    def __repr__(self) -> str:
        return f"JoinTokenText({self.id})"

    @property
    def text(self) -> str:
        """As it is handed to people."""
        return f"{PREFIX}{self.jwt}.{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a join token. Raises ValueError, without the text."""
        match = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
        if match is None:
            raise ValueError(_what_is_wrong(text.strip()))
        try:
            claims = json.loads(base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4)))
            id = str(claims["name"])
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise ValueError("the join token is damaged") from None
        if not is_id(id):
            raise ValueError("the join token is damaged")
        return cls(id, match[1], match[3])


def _what_is_wrong(text: str) -> str:
    """Why this is not a join token, without repeating it."""
    if not text:
        return "there is no join token: the text is empty"
    if text.startswith(PREFIX) and len(text) <= LONGEST and len(text.split()) == 1:
        return f"the join token is incomplete or mistyped: it has {len(text)} characters"
    return f"a join token begins with {PREFIX}, and is one line without spaces"
