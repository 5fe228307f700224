"""Concurrency keys: what a job claims, and what becomes of a job that arrives at a key. Pure.

A job with a key *claims* it. It *holds* the key from the transaction that queues its first tasks to the one that ends
it, and *waits* for the key before that. `Arrivals` decides about new jobs; `admitted` chooses among those that wait.
The caller keeps all other transactions from giving the same keys away meanwhile.
"""

import unicodedata
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from orchestrator.domain.expressions import BadExpression, parse, render, template_faults
from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import Scope, Values
from schemas.concurrency import MAX_KEY, MAX_WAITING, WhenFull
from schemas.model import acts, rfc3339
from schemas.params import Scalar
from schemas.states import Reason

Space = Literal["key", "schedule"]
"""Whose keys: those that users choose, or one for each schedule."""

NAMED: Final = 3
"""The most jobs that a message names."""


class Key(NamedTuple):
    """What jobs compete for."""

    space: Space
    name: str

    def __str__(self) -> str:
        return f"the concurrency key {self.name!r}" if self.space == "key" else f"schedule {self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job's claim: how many may hold the key for this job to start, and what happens if more do."""

    key: Key
    limit: int
    when_full: WhenFull
    only_of: str | None = None
    """The id of a token: the job may end only jobs of that one. None means that it may end any."""


class ClaimState(StrEnum):
    """What has become of a job's claims. A job without any has none of these states."""

    WAITING = "waiting"
    HELD = "held"


class Member(NamedTuple):
    """A job that holds a key."""

    id: str
    name: str


@dataclass(slots=True)
class Line:
    """A key as an arriving job finds it."""

    key: Key
    holding: int = 0
    """How many jobs hold it, those that are being stopped included."""
    staying: int = 0
    """How many jobs hold it or wait for it and are not being stopped."""
    ready: int = 0
    """How many of those that wait will be admitted next."""
    waiting: int = 0
    """How many jobs wait for it, those whose `run_at` is still to come included."""
    holders: list[Member] = field(default_factory=list)
    """The oldest of those that hold it."""
    new: list[int] = field(default_factory=list)
    """The places of the jobs in this request that stay, the oldest first."""
    superseded: int = 0
    """How many of the oldest jobs that were there before this request have to be cancelled."""
    superseded_by: str | None = None
    """The id of the job for which they are cancelled."""
    only_of: str | None = None
    """The id of the token whose jobs alone may be cancelled, if only one's may."""

    def copy(self) -> "Line":
        """The same line, of which a change does not change this one."""
        return replace(self, holders=list(self.holders), new=list(self.new))

    def full(self, limit: int) -> bool:
        """Whether a job with this limit has to wait. Jobs of a schedule follow each other: one that waits for another
        key is not overtaken."""
        return self.holding + (self.waiting if self.key.space == "schedule" else self.ready) >= limit

    def why(self, limit: int) -> str:
        """Why a job with this limit does not start, in words."""
        if self.key.space == "schedule":
            who = f"{held_by(self.holders, self.holding)} is" if self.holders else "a former one that waits is"
            return f"{self.key} runs one job at a time, and {who} not over"
        allowed = f"at most {limit} {'job' if limit == 1 else 'jobs'} at a time"
        return f"{self.key} lets {allowed} run, and {self._who()}"

    def _who(self) -> str:
        if not self.holders:
            return "others wait for it before this one"
        return f"{held_by(self.holders, self.holding)} {'holds' if self.holding == 1 else 'hold'} it"


@dataclass(frozen=True, slots=True)
class Start:
    """How a new job begins: at once, with or without claims, later, or not at all."""

    state: ClaimState | None = None
    later: bool = False
    """Whether its `run_at` is still to come: only then it arrives at its keys."""
    cancelled: Reason | None = None
    """Why it is cancelled before it begins."""
    detail: str | None = None
    """Why it waits or is cancelled, in words."""


AT_ONCE: Final = Start()
HELD: Final = Start(ClaimState.HELD)
LATER: Final = Start(ClaimState.WAITING, later=True)


class Full(ValueError):
    """A job may not wait for its key, which others hold; the message names them."""

    def __init__(self, place: int, message: str) -> None:
        super().__init__(message)
        self.place = place
        """Which job of the request it is, from 0."""


class LineTooLong(ValueError):
    """Too many jobs wait for a key already."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{MAX_WAITING:,} jobs wait for {key} already; a key has at most that many")


class Arrivals:
    """Decides how the jobs of one request begin, in their order. `lines` has the keys of all of them."""

    def __init__(self, lines: Mapping[Key, Line]) -> None:
        self.lines = lines
        self.starts: list[Start] = []
        """By the place of each job."""
        self._jobs: list[tuple[Member, Sequence[Claim]]] = []

    def add(self, job: Member, claims: Sequence[Claim], *, later: bool = False, refuses: bool = True) -> Start:
        """The next job. Raises Full for a job that is to be rejected, unless it has been accepted before (not
        `refuses`): then it is cancelled. Raises LineTooLong."""
        place = len(self.starts)
        self._jobs.append((job, claims))
        self.starts.append(AT_ONCE)
        if not claims:
            return AT_ONCE
        start = LATER if later else self._arrive(place, job, claims, refuses=refuses)
        self.starts[place] = start
        if start.cancelled is None:
            self._count(place, 1)
        if start.state is ClaimState.WAITING and refuses:
            for claim in claims:
                if self.lines[claim.key].waiting > MAX_WAITING:
                    raise LineTooLong(claim.key)
        return start

    def _arrive(self, place: int, job: Member, claims: Sequence[Claim], *, refuses: bool) -> Start:
        for claim in claims:
            line = self.lines[claim.key]
            if not line.full(claim.limit):
                continue
            if claim.when_full == "reject" and refuses:
                raise Full(place, line.why(claim.limit))
            if claim.when_full in ("reject", "cancel_newest"):
                return Start(ClaimState.WAITING, cancelled=Reason.CONCURRENCY_LIMIT, detail=line.why(claim.limit))
        for claim in claims:
            if claim.when_full == "cancel_oldest":
                self._supersede(self.lines[claim.key], claim, job)
        full = [self.lines[claim.key].why(claim.limit) for claim in claims if self.lines[claim.key].full(claim.limit)]
        return Start(ClaimState.WAITING, detail="; ".join(full)) if full else HELD

    def _supersede(self, line: Line, claim: Claim, job: Member) -> None:
        """Cancel the oldest so that the job is among those that may run."""
        excess = line.staying + 1 - claim.limit
        if excess <= 0:
            return
        before = min(excess, line.staying - len(line.new))
        if before:
            line.superseded += before
            line.superseded_by, line.only_of = job.id, claim.only_of
            line.staying -= before
            line.ready = max(0, line.ready - before)
        for place in line.new[: excess - before]:
            self._count(place, -1)
            detail = superseded_by(job.id, line.key.space)
            self.starts[place] = Start(ClaimState.WAITING, cancelled=Reason.SUPERSEDED, detail=detail)

    def _count(self, place: int, change: Literal[1, -1]) -> None:
        """Count a job in, or out."""
        (job, claims), start = self._jobs[place], self.starts[place]
        held = start.state is ClaimState.HELD
        for claim in claims:
            line = self.lines[claim.key]
            if held:
                line.holding += change
                line.holders = [*line.holders, job] if change > 0 else [one for one in line.holders if one != job]
            else:
                line.waiting += change
            if start.later:
                continue
            line.staying += change
            if change > 0:
                line.new.append(place)
            else:
                line.new.remove(place)


def held_by(some: Sequence[Member], count: int) -> str:
    """Jobs in words: `some` of them, which is at least one, and how many there are."""
    names = [f"job {one.id} ({one.name})" for one in some[:NAMED]]
    if (more := count - len(names)) > 0:
        return f"{', '.join(names)} and {more} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def wait_in_words(line: Line, limit: int, position: int | None, waiting: int, since: datetime) -> str:
    """What a job waits for, as the rest of a sentence about it."""
    if position is None:
        return f"is not due before {rfc3339(since)}, and claims {line.key} only then"
    if line.holding < limit:
        return f"waits for {line.key}, and is about to begin"
    place = "it is the next one" if position == 1 else f"it is number {position} of {waiting} that wait"
    return f"waits: {line.why(limit)}; {place}"


def superseded_by(job_id: str, space: Space) -> str:
    """Why a job is cancelled whose place a newer one takes, in words."""
    of = "with the same concurrency key" if space == "key" else "of the same schedule"
    return f"job {job_id} {of} has taken its place"


class Replaced(NamedTuple):
    """A job that is to be cancelled for a newer one."""

    id: str
    name: str
    created_by: str | None
    """The id of the token that submitted it."""
    by: str
    """The id of the newer job."""
    space: Space
    only_of: str | None
    """As in the claim of the newer job."""

    @property
    def protected(self) -> bool:
        """Whether the newer job may not end it."""
        return self.only_of is not None and self.only_of != self.created_by

    @property
    def title(self) -> str:
        """The job in words."""
        return f"job {self.id} ({self.name})"


@dataclass(frozen=True, slots=True)
class Waiter:
    """A job that waits, with all its claims."""

    job_id: str
    claims: Sequence[Claim]


def admitted(waiters: Iterable[Waiter], holding: MutableMapping[Key, int]) -> list[str]:
    """The ids of the jobs that may start now, of those that wait, in their order. A job that cannot start does not keep
    others from it. `holding` has the number of holders of each key, and is counted up."""
    chosen: list[str] = []
    for one in waiters:
        if all(holding[claim.key] < claim.limit for claim in one.claims):
            for claim in one.claims:
                holding[claim.key] += 1
            chosen.append(one.job_id)
    return chosen


# ---------------------------------------------------------------------- keys with expressions


def key_faults(template: str, loc: tuple[str | int, ...], scope: Scope) -> list[Fault]:
    """The faults of a pipeline's key that are known before there are parameters."""
    if found := list(template_faults(template, loc, scope)):
        return found
    references = parse(template).references
    if references and all(one.kind == "param" for one in references):
        return []
    try:
        rendered_key(template, {})
    except BadExpression as error:
        return [Fault(loc, str(error), "bad_key")]
    return []


def rendered_key(template: str, params: Mapping[str, Scalar]) -> str:
    """The key with the values of its expressions. Raises BadExpression if it has none, or cannot be a key."""
    for reference in parse(template).references:
        if reference.kind != "param":
            raise BadExpression(f"${{{{ {reference.text} }}}}: a concurrency key may only refer to params.NAME")
    key = render(template, Values("", params=params), most=MAX_KEY)
    if not key:
        raise BadExpression("is empty with the values of its expressions")
    if len(key) > MAX_KEY:
        raise BadExpression(f"has {len(key):,} characters; a key has at most {MAX_KEY}")
    if any(acts(character) for character in key):
        raise BadExpression("must not contain characters that control a terminal or the direction of text")
    if all(unicodedata.category(character) in ("Zs", "Cf") for character in key):
        raise BadExpression("must have a visible character")
    return key
