"""Why the orchestrator refuses what another service asks of it: its errors as they travel in events and answers."""

from typing import Final, assert_never

from schemas.refusals import RefusalReason, RefusedField, VerdictReason
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Overloaded

MOST_ERRORS: Final = 100
"""The most fields that a refusal lists."""

Refusal = NotFound | Forbidden | Conflict | Invalid | Overloaded


def reason_of(error: Refusal) -> VerdictReason:
    """The reason of a refusal."""
    match error:
        case NotFound():
            return RefusalReason.NOT_FOUND
        case Forbidden():
            return RefusalReason.FORBIDDEN
        case Conflict():
            return RefusalReason.CONFLICT
        case Invalid():
            return RefusalReason.INVALID
        case Overloaded():
            return RefusalReason.OVERLOADED
        case _:
            assert_never(error)


def detail_of(error: Refusal) -> str:
    """The refusal in words."""
    return error.why if isinstance(error, Overloaded) else str(error)


def errors_of(error: Refusal) -> list[RefusedField] | None:
    """The fields that are not valid, if that is the reason."""
    if not isinstance(error, Invalid):
        return None
    return [RefusedField(loc=list(one.loc), msg=one.msg, type=one.type) for one in error.errors[:MOST_ERRORS]]
