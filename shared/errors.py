"""The errors that all services share.

Here: the exceptions that cross module borders. `shared.web.problems` turns those with an HTTP status into problem
documents; the others end in a log line or an exit code. Errors private to one module stay in that module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from schemas.access import Role

LONGEST_NAME: Final = 100
"""Most characters of a name or value that an error repeats."""


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """The text, or its beginning and an ellipsis: at most `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class HodeiError(Exception):
    """The base class of every error that the project raises on purpose. `str(error)` is one clear sentence."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in an input: its place (`loc`, outermost first), a message, and a stable type. `line` and `column`
    (from 1) are its place in a text that the input contains."""

    loc: tuple[str | int, ...]
    msg: str
    type: str
    line: int | None = None
    column: int | None = None


class NotFound(HodeiError):
    """The entity does not exist (HTTP 404). `kind` is a singular noun such as "job"."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {shortened(id)}")
        self.kind = kind
        self.id = id


class Malformed(HodeiError):
    """The request is not well-formed (HTTP 400). `detail` describes where."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Conflict(HodeiError):
    """The entity's state does not allow this (HTTP 409)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unauthorized(HodeiError):
    """The request has no valid token (HTTP 401). `why` is the first half of the sentence, `role` the role that would
    do, and `wrong` says that there was a token which is not valid."""

    def __init__(self, why: str, role: Role, *, wrong: bool = False) -> None:
        super().__init__(f"{why}; send Authorization: Bearer with a token of the role {role} or a higher one")
        self.why = why
        self.role = role
        self.wrong = wrong


class Forbidden(HodeiError):
    """The client may not do this (HTTP 403)."""


class RoleNeeded(Forbidden):
    """The client's role does not include this (HTTP 403). `role` is the lowest role that would do."""

    def __init__(self, has: Role, role: Role) -> None:
        super().__init__(f"this needs the role {role}; the token has the role {has}")
        self.role = role


class NotYours(RoleNeeded):
    """The client may do this with entities of its own only (HTTP 403), and `what` was created by another
    token. `role` may do it with all."""

    def __init__(self, what: str, has: Role, role: Role) -> None:
        super().__init__(has, role)
        self.args = (f"{what} was created by another token: that needs the role {role}; the token has the role {has}",)


class Misdirected(HodeiError):
    """The request is for another host than this service (HTTP 421)."""


class Invalid(HodeiError):
    """The request is well-formed, but its content is not valid (HTTP 422)."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{'.'.join([shortened(str(part)) for part in e.loc])}: {e.msg}" for e in errors))
        self.errors = tuple(errors)


class Overloaded(HodeiError):
    """A limit is reached; the request may succeed later (HTTP 429). `retry_after` is in seconds, `kind` is the limit's
    name in metrics, and `why` is the first half of the sentence."""

    def __init__(
        self, retry_after: float = 1.0, *, kind: str = "requests", why: str = "too many requests at once"
    ) -> None:
        super().__init__(f"{why}; try again in {max(1, ceil(retry_after))} s")
        self.retry_after = retry_after
        self.kind = kind
        self.why = why


class TooManyWaiting(Overloaded):
    """As many jobs as may wait for something are waiting already (HTTP 429)."""

    def __init__(self, detail: str) -> None:
        super().__init__(10.0, kind="concurrency_key", why=detail)


class Unavailable(HodeiError):
    """A server or service that is needed does not answer (HTTP 503). `what` names it; `retry_after` is in seconds."""

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(f"{what} is not available")
        self.what = what
        self.retry_after = retry_after


class TokensUnread(Unavailable):
    """This service has not read the list of tokens yet, so that it cannot know an unknown token from a valid one (HTTP
    503)."""

    def __init__(self) -> None:
        super().__init__("the list of tokens")


class TooSlow(Unavailable):
    """The server answers, but did not finish a request in time (HTTP 503). The request itself may be the cause."""

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(what, retry_after)
        self.args = (f"{what} did not finish the request in time",)


class BusUnavailable(HodeiError):
    """NATS is not connected, or did not answer within the deadline."""


class NotPermitted(BusUnavailable):
    """NATS does not let this process's credentials use a subject. Trying again succeeds once they allow it."""


class MessageTooLarge(HodeiError):
    """A message is larger than NATS accepts. Sending it again cannot succeed."""


class ConfigError(HodeiError):
    """The configuration is unusable. The process exits with one line and exit code 2."""
