"""Which workers get credentials: what a join token allows, and whose id a worker may claim. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.enrolment import Enrol, Refusal

LABELS_SHOWN: Final = 8
"""Labels that a refusal lists."""
HOLDERS: Final = {
    "worker": "another worker",
    "join token": "a join token",
    "credentials": "read-only credentials",
    "service": "a service of the platform",
}
"""Each kind of holder of a key, in words."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A join token as the table has it."""

    id: str
    name: str
    type: str | None
    labels: Mapping[str, str] | None
    max_uses: int
    uses: int
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
    """A worker that has enrolled before."""

    worker_id: str
    user_key: str
    join_token_id: str | None
    revoked_at: datetime | None
    type: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """What has a key already: another `worker`, a `join token`, `credentials` or a `service`; or `key`, if it is only
    known that it was revoked."""

    kind: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker gets no credentials, and why, in words for its operator."""

    reason: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """A worker gets credentials. `counts`: it is one more use of the join token."""

    counts: bool


def admit(
    ticket: Ticket | None, claim: Enrol, member: Member | None, now: datetime, *, holder: Holder | None = None
) -> Admitted | Refused:
    """Decide about a worker that asks with a join token, and has proven its key. `member` is what the table has for the
    id that it claims, `holder` what has its key beside that.

    The same worker may ask again with the same join token and key, since an answer can be lost: that uses nothing up.
    """
    if ticket is None:
        return Refused(Refusal.UNKNOWN_TOKEN, "there is no such join token")
    named = f"the join token {ticket.name!r}"
    if ticket.revoked_at is not None:
        return Refused(Refusal.REVOKED_TOKEN, f"{named} was revoked")
    if ticket.expires_at <= now:
        return Refused(Refusal.EXPIRED_TOKEN, f"{named} has expired")
    if member is not None and member.revoked_at is not None:
        return Refused(Refusal.REVOKED_WORKER, f"worker {member.worker_id} was revoked")
    if member is not None and member.user_key != claim.user_key:
        return Refused(
            Refusal.OTHER_WORKER,
            f"worker {member.worker_id} has enrolled with another key; a worker keeps its key in its state folder",
        )
    if holder is not None and holder.revoked:
        return Refused(Refusal.REVOKED_WORKER, "the key of this worker was revoked")
    if holder is not None:
        return Refused(Refusal.TAKEN_KEY, f"this key is that of {HOLDERS[holder.kind]}; a worker makes its own")
    if ticket.type is not None and claim.type != ticket.type:
        return Refused(Refusal.OTHER_TYPE, f"{named} is for workers of the type {ticket.type!r}")
    if ticket.labels is not None and (outside := labels_outside(claim.labels, ticket.labels)):
        return Refused(Refusal.OTHER_LABELS, f"{named} does not allow the label {outside}; {_allowed(ticket.labels)}")
    again = member is not None and member.join_token_id == ticket.id
    if not again and ticket.uses >= ticket.max_uses:
        times = "once" if ticket.max_uses == 1 else f"{ticket.max_uses} times"
        return Refused(Refusal.USED_UP, f"{named} may be used {times}, and was")
    return Admitted(counts=not again)


def may_renew(member: Member | None, worker_id: str, user_key: str) -> Refused | None:
    """Why a worker gets no new credentials; None if it does."""
    if member is None:
        return Refused(Refusal.OTHER_WORKER, f"worker {worker_id} has not enrolled")
    if member.revoked_at is not None:
        return Refused(Refusal.REVOKED_WORKER, f"worker {worker_id} was revoked")
    if member.user_key != user_key:
        return Refused(Refusal.OTHER_WORKER, f"worker {worker_id} has enrolled with another key")
    return None


def _allowed(labels: Mapping[str, str]) -> str:
    """Which labels a join token allows, in words."""
    if not labels:
        return "it allows none"
    shown = [f"{key}={value}" for key, value in sorted(labels.items())[:LABELS_SHOWN]]
    more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
    return f"it allows {', '.join(shown)}{more}"


def labels_outside(labels: Mapping[str, str], allowed: Mapping[str, str]) -> str:
    """The first label that is not among the allowed ones, as KEY=VALUE; an empty text if all are."""
    outside = (f"{key}={value}" for key, value in sorted(labels.items()) if allowed.get(key) != value)
    return next(outside, "")
