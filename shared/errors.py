"""The errors every service speaks.

Here: the exceptions that cross module borders, and nothing about how they are shown. The HTTP-facing
ones are turned into problem documents by `shared.web.problems`; the others end up in a log line or an
exit code. Errors private to one module stay in that module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_NAME: Final = 100
"""Characters of a name or value of the request that an error repeats."""


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """The text, or its beginning and an ellipsis: `longest` characters at most."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class HodeiError(Exception):
    """Root of every error the project raises on purpose. `str(error)` is one clear sentence."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one input: where (`loc`, outermost first), in words, and a stable type."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class NotFound(HodeiError):
    """There is no such thing (HTTP 404). `kind` is a singular noun such as "job"."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {shortened(id)}")
        self.kind = kind
        self.id = id


class Malformed(HodeiError):
    """The request is not even well-formed (HTTP 400). `detail` says where, in words."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Conflict(HodeiError):
    """The thing is not in a state that allows this (HTTP 409)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Forbidden(HodeiError):
    """Who asks may not do this (HTTP 403)."""


class Misdirected(HodeiError):
    """The request names a host that this service is not (HTTP 421)."""


class Invalid(HodeiError):
    """The request was understood but its content is not acceptable (HTTP 422)."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{'.'.join([shortened(str(part)) for part in e.loc])}: {e.msg}" for e in errors))
        self.errors = tuple(errors)


class NotSupported(Invalid):
    """A valid wish in a body that this version does not fulfil yet (HTTP 422, type `not_supported`)."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__([FieldError(("body", *field.split(".")), f"not yet supported: {detail}", "not_supported")])
        self.field = field
        self.detail = detail


class Overloaded(HodeiError):
    """Too much at once (HTTP 429). `retry_after` is in seconds."""

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__(f"too many requests at once, try again in {retry_after:g} s")
        self.retry_after = retry_after


class Unavailable(HodeiError):
    """Something this service needs does not answer right now (HTTP 503). `what` names it."""

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(f"{what} is not available")
        self.what = what
        self.retry_after = retry_after


class TooSlow(Unavailable):
    """It answers, but did not end in time what it was asked (HTTP 503): what was asked may be the reason."""

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(what, retry_after)
        self.args = (f"{what} did not end in time what it was asked",)


class BusUnavailable(HodeiError):
    """A message was not acknowledged by the broker within its deadline."""


class MessageTooLarge(HodeiError):
    """A message is larger than the broker takes: it is in vain to send it again."""


class ConfigError(HodeiError):
    """The configuration cannot be used; the process ends with one line and exit code 2."""
