"""The errors of a client: the platform refused, no service answered, or another server answered."""

from typing import Final

from schemas.rest.job_filters import JobsChanged
from schemas.rest.problem import FieldProblem, Problem

NO_TOKEN_SENT: Final = "no token was sent"
"""The beginning of the hint of a refusal (401) of a request without a token."""
_FOR_PROGRAMS: Final = "; send Authorization: Bearer"
"""Where the detail of a refusal (401) begins to say how a token is sent, which the client does by itself."""


class ClientError(Exception):
    """The base class of the client's errors.

    `perhaps_received` is true when the service may have received the request and acted on it. `changed` is what a call
    that changes many jobs in several requests had done before the one that failed; `changed.cursor` goes on with those
    of a filter. It is None for other calls.
    """

    perhaps_received = False
    changed: JobsChanged | None = None


class ApiError(ClientError):
    """The platform refused a request; `problem` is its response (RFC 9457), `status` the HTTP status, `hint` what the
    client adds to it.

    The service may have received the request if an earlier attempt broke off, and with any status from 500 up.
    """

    def __init__(self, problem: Problem, *, perhaps_received: bool = False, hint: str = "") -> None:
        self.problem = problem
        self.status = problem.status
        self.hint = hint
        self.perhaps_received = perhaps_received or problem.status >= 500
        super().__init__(self._in_words())

    def _in_words(self) -> str:
        faults = [_in_words(error) for error in self.problem.errors or ()]
        if len(faults) > 1:  # the detail has the same, on one line
            what = "".join(f"\n  {fault}" for fault in faults)
        elif faults:
            what = f" {faults[0]}"
        elif self.hint.startswith(NO_TOKEN_SENT):
            what = ""  # the hint says what to do, in place of the header that a program would send
        else:
            what = f" {self.problem.detail.partition(_FOR_PROGRAMS)[0]}"
        hint = f"{';' if what else ''} {self.hint}" if self.hint else ""
        return f"{self.problem.status} {self.problem.title}:{what}{hint}"


def _in_words(error: FieldProblem) -> str:
    # The call itself shows whether a field is in the body or the query.
    where = error.loc[1:] if error.loc[:1] in (["body"], ["query"]) else error.loc
    text = ": ".join(filter(None, [".".join(str(part) for part in where), error.msg]))
    return text if error.line is None else f"{text} (line {error.line}, column {error.column})"


class WrongSetting(ClientError):
    """A setting is wrong: an unknown `HODEI_*` variable, a profile, a token, a CA or, as BadAddress, an address."""


class BadAddress(WrongSetting):
    """The address given for a service is not an http:// or https:// URL with a host and a port."""


class Unreachable(ClientError):
    """No service answered at that address within the deadline.

    The service may have received the request if a connection was made.
    """

    def __init__(self, message: str, *, perhaps_received: bool = False) -> None:
        super().__init__(message)
        self.perhaps_received = perhaps_received


class UnexpectedAnswer(ClientError):
    """The response is not one of this service: another server, or another version, listens at the address.

    The request may have had its effect nevertheless.
    """

    perhaps_received = True
