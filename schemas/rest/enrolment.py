"""Credentials for the bus over REST: join tokens, the workers that enrolled, and read-only credentials."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from schemas.access import Actor
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.lists import PageQuery, Who
from schemas.specs import Labels, WorkerType

MAX_USES: Final = 10_000
MAX_SUBJECTS: Final = 100

Subject = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


class JoinToken(Model):
    """A join token, without its text."""

    id: Id = Field(description="The join token's id.")
    name: str = Field(description="Its name.")
    type: str | None = Field(description="The only type that its workers may have; null for any.")
    labels: dict[str, str] | None = Field(
        description="The labels that its workers may have: each label of a worker must be one of these, with the same "
        "value. Null for any."
    )
    max_uses: int = Field(description="How many workers may enrol with it.")
    uses: int = Field(description="How many have.")
    created_at: Timestamp = Field(description="When it was created.")
    created_by: Actor | None = Field(description="The token with which it was created; null with access off.")
    expires_at: Timestamp = Field(description="When it expires.")
    revoked_at: Timestamp | None = Field(description="When it was revoked; null if it was not.")


class JoinTokenCreate(Model):
    """A join token to create."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "rack 7", "max_uses": 20, "type": "gpu"}]})

    name: Name = Field(description="A name, for lists.")
    type: WorkerType | None = Field(None, description="The only type that its workers may have; null for any.")
    labels: Labels | None = Field(
        None,
        description="The labels that its workers may have: each label of a worker must be one of these, with the same "
        "value. Null for any; `{}` for none.",
    )
    max_uses: OrDefault[int] = Field(1, ge=1, le=MAX_USES, description="How many workers may enrol with it.")
    expires_at: Timestamp | None = Field(
        None, description="When it expires, in the future; null for an hour from now. Workers that enrolled stay."
    )


class JoinTokenCreated(JoinToken):
    """A new join token, with its text."""

    token: str | None = Field(
        description="The join token's text, for `hodei worker --join`, which is shown this once. Null in the replay of "
        "an earlier response (`Idempotency-Replayed`)."
    )


class JoinTokenQuery(PageQuery):
    """Filters of the list."""

    name: Name | None = Field(None, description="Only join tokens with this name.")
    created_by: Who = Field(None, description="Only join tokens that this token created: its id or its name.")
    state: Literal["active", "used", "expired", "revoked"] | None = Field(
        None, description="Only join tokens in this state; those that are `active` may be used."
    )


class Enrolment(Model):
    """A worker that has credentials for the bus."""

    id: Id = Field(description="The worker's id.")
    name: str = Field(description="The name that it had when it enrolled.")
    join_token_id: Id | None = Field(
        description="The join token with which it enrolled; null for a worker that the worker manager started."
    )
    type: str | None = Field(description="The only type that it may have; null for any.")
    labels: dict[str, str] | None = Field(description="The labels that it may have; null for any.")
    enrolled_at: Timestamp = Field(description="When it got its first credentials.")
    renewed_at: Timestamp = Field(description="When it got its last credentials.")
    expires_at: Timestamp = Field(description="When these expire.")
    revoked_at: Timestamp | None = Field(description="When they were revoked; null if they were not.")
    revoked_by: Actor | None = Field(description="The token with which they were revoked; null with access off.")


class EnrolmentQuery(PageQuery):
    """Filters of the list."""

    join_token_id: str | None = Field(None, description="Only workers that enrolled with this join token.")
    state: Literal["active", "expired", "revoked"] | None = Field(
        None, description="Only workers whose credentials are in this state."
    )


class Credentials(Model):
    """Read-only credentials for the bus, without their text."""

    id: Id = Field(description="The credentials' id.")
    name: str = Field(description="Their name.")
    subjects: list[str] = Field(description="The subjects that a subscriber may hear.")
    created_at: Timestamp = Field(description="When they were created.")
    created_by: Actor | None = Field(description="The token with which they were created; null with access off.")
    expires_at: Timestamp | None = Field(description="When they expire; null if they do not.")
    revoked_at: Timestamp | None = Field(description="When they were revoked; null if they were not.")


class CredentialsCreate(Model):
    """Read-only credentials to create."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "dashboard", "subjects": ["hodei.feed.jobs.*.failed"]}]}
    )

    name: Name = Field(description="A name, for lists.")
    subjects: list[Subject] | None = Field(
        None,
        min_length=1,
        max_length=MAX_SUBJECTS,
        description="The subjects that a subscriber may hear, wildcards included; null for the whole feed.",
    )
    expires_at: Timestamp | None = Field(None, description="When they expire, in the future; null for never.")


class CredentialsCreated(Credentials):
    """New read-only credentials, with their text."""

    credentials: str | None = Field(
        description="The content of a credentials file (`nats --creds FILE`), which is shown this once. Null in the "
        "replay of an earlier response (`Idempotency-Replayed`)."
    )


class CredentialsQuery(PageQuery):
    """Filters of the list."""

    name: Name | None = Field(None, description="Only credentials with this name.")
    created_by: Who = Field(None, description="Only credentials that this token created: its id or its name.")
    state: Literal["active", "expired", "revoked"] | None = Field(None, description="Only credentials in this state.")
