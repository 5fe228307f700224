"""Access over REST: tokens, and who a request acts for."""

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.access import Actor as Actor
from schemas.access import Role, TokenName
from schemas.model import Id, Model, Timestamp
from schemas.rest.lists import PageQuery


class Token(Model):
    """A token, without its text."""

    id: Id = Field(description="The token's id.")
    name: str = Field(description="Its name, which `created_by` shows.")
    role: Role = Field(description="What it may do.")
    created_at: Timestamp = Field(description="When it was created.")
    created_by: Actor | None = Field(description="The token with which it was created; null for those of the set-up.")
    expires_at: Timestamp | None = Field(description="When it expires; null if it does not.")
    revoked_at: Timestamp | None = Field(description="When it was revoked; null if it was not.")
    last_used_at: Timestamp | None = Field(
        description="When a request last used it at any of the services, to the minute; known after a minute or two."
    )


class TokenCreate(Model):
    """A token to create."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ci", "role": "submitter"}]})

    name: TokenName = Field(description="A name for its owner: a person, a program or a machine. Not a UUID.")
    role: Role = Field(description="What it may do. Each role includes those before it.")
    expires_at: Timestamp | None = Field(None, description="When it expires, in the future; null for never.")


class TokenCreated(Token):
    """A new token, with its text."""

    token: str | None = Field(
        description="The token's text, which is shown this once: the services keep its SHA-256. Null in the replay of "
        "an earlier response (`Idempotency-Replayed`)."
    )


class TokenQuery(PageQuery):
    """Filters of the list."""

    name: str | None = Field(None, max_length=200, description="Only tokens with this name.")
    role: Role | None = Field(None, description="Only tokens with this role.")
    state: Literal["active", "expired", "revoked"] | None = Field(None, description="Only tokens in this state.")


class Session(Model):
    """A browser session. Its cookie is in the response's `Set-Cookie`."""

    id: Id = Field(description="The session's id.")
    expires_at: Timestamp = Field(description="When it expires, if it does not end before.")


class SessionBearer(Model):
    """A bearer of a browser session, for `Authorization: Bearer` at all three services."""

    token: str = Field(description="The bearer. A page should keep it in memory only.")
    expires_at: Timestamp = Field(description="When it expires: in ten minutes, or with the session or the token.")


class WhoAmI(Model):
    """Who this request acts for."""

    access: Literal["on", "off"] = Field(description="Whether the service asks for tokens.")
    id: Id | None = Field(description="The token's id; null with access off.")
    name: str | None = Field(description="The token's name; null with access off.")
    role: Role | None = Field(
        description="What the token may do; null with access off, where every request may do all."
    )
    expires_at: Timestamp | None = Field(description="When the token or the session expires; null if it does not.")
