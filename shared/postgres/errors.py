"""Classifies errors of PostgreSQL and of asyncpg: whether the server or the statement is the cause.

A server that cannot be reached, does not answer, or accepts no writes (read-only, in recovery, disk full, shutting
down, all connections taken, privileges revoked) is `Unavailable("database")`. A statement that did not finish in time
on a server that answers is `TooSlow("database")`. Every other error is raised unchanged, under the names below.
"""

from typing import Final

import asyncpg

from shared.errors import TooSlow, Unavailable

UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError
Deadlock = asyncpg.DeadlockDetectedError
LockTimeout = asyncpg.LockNotAvailableError
Broken = asyncpg.SerializationError
"""A condition of a statement (`must` in its SQL) does not hold, and nothing was written."""

TAKES_NOTHING: Final = (
    asyncpg.ReadOnlySQLTransactionError,  # default_transaction_read_only, or a standby
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.PostgresSystemError,  # the server cannot read or write one of its files
    asyncpg.InsufficientPrivilegeError,
)
"""Errors of a server that answers but refuses every write."""
_AWAY: Final = (
    OSError,  # TimeoutError, ConnectionError, a missing socket
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,  # starting up, shutting down, in recovery
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # see OutOfStep
    asyncpg.InvalidAuthorizationSpecificationError,  # the password was changed, or the role may not log in any more
    asyncpg.InvalidCatalogNameError,  # the database is being replaced
    *TAKES_NOTHING,
)
_CLOSED_WORDS: Final = ("is closed", "is closing", "been closed", "been released", "not initialized")
HOPELESS: Final = (
    ValueError,  # the address cannot be parsed
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,  # includes a wrong password
    asyncpg.InvalidCatalogNameError,
)


class TakesNoWrites(Unavailable):
    """The server answers but accepts no writes (HTTP 503)."""

    def __init__(self) -> None:
        super().__init__("database")
        self.args = ("the database accepts no writes at the moment",)


class OutOfStep(TooSlow):
    """asyncpg and the server disagree about the state of the connection (HTTP 503). Usually the connection is broken.
    The statement may also be the cause, so one that repeatedly fails with this error is given up.
    """

    def __init__(self) -> None:
        super().__init__("database")
        self.args = ("the connection to the database is out of step",)


def raise_if_away(error: Exception) -> None:
    """Raise Unavailable if an error means that the server is unavailable; return for every other error."""
    if isinstance(error, TAKES_NOTHING):
        raise TakesNoWrites from error
    if isinstance(error, asyncpg.InternalClientError):
        raise OutOfStep from error
    if is_away(error):
        raise Unavailable("database") from error


def is_away(error: Exception) -> bool:
    """Whether an error means that the server is unavailable, or that the connection to it is closed."""
    if isinstance(error, asyncpg.InterfaceError):
        return any(word in str(error) for word in _CLOSED_WORDS)
    return isinstance(error, _AWAY)
