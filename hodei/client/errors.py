"""What can go wrong for a client: the platform said no, or nobody answered."""

from schemas.rest.problem import Problem


class ClientError(Exception):
    """The root of this client's errors."""


class ApiError(ClientError):
    """The platform refused; `problem` is what it said (RFC 9457), `status` its HTTP status."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.status = problem.status
        super().__init__(self._in_words())

    def _in_words(self) -> str:
        text = f"{self.problem.status} {self.problem.title}: {self.problem.detail}"
        for error in self.problem.errors or ():
            # Whether a field stands in the body or the query is plain from the call.
            where = error.loc[1:] if error.loc[:1] in (["body"], ["query"]) else error.loc
            text += "\n  " + ": ".join(filter(None, [".".join(str(part) for part in where), error.msg]))
        return text


class BadAddress(ClientError):
    """What was given as a service's address is none."""


class Unreachable(ClientError):
    """No service answered at that address within the deadline.

    `perhaps_received` tells that a connection was made: the request may have had its effect.
    """

    def __init__(self, message: str, *, perhaps_received: bool = False) -> None:
        super().__init__(message)
        self.perhaps_received = perhaps_received
