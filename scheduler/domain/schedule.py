"""A schedule as it was asked for: its times, what it runs, and what a change makes of them.

Pure. What a schedule owes when it is due is in `firing`, its due times are in `recurrence`.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from scheduler.domain.recurrence import Recurrence, words
from schemas.access import Actor
from schemas.events import JobTarget
from schemas.rest.schedules import CATCH_UP_LIMIT, CatchUp, ScheduleCreate, SchedulePatch
from schemas.specs import CommandSpec
from schemas.states import ScheduleStatus

TIMES: Final = ("run_at", "cron", "every")
TARGETS: Final = ("job_id", "pipeline_id", "command")
_TICK: Final = timedelta(microseconds=1)
OF_TIMES: Final = frozenset({*TIMES, "timezone", "start", "end", "jitter"})
"""The fields that decide when a schedule is due."""
_OF_A_RECURRENCE: Final = ("timezone", "start", "end", "jitter", "overlap", "catch_up", "catch_up_limit")
_OF_A_COMMAND: Final = frozenset(CommandSpec.model_fields) - {"env"}
OF_TARGET: Final = frozenset({*TARGETS, *_OF_A_COMMAND, "env", "params"})
"""The fields that decide what a schedule runs."""
CHECKED: Final = OF_TARGET | {"concurrency_key"}
"""The fields of which the orchestrator knows whether they are right."""


class BadChange(Exception):
    """The changed schedule is not valid: `cause` has the errors of its fields."""

    def __init__(self, cause: ValidationError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def is_checked(target: JobTarget) -> bool:
    """Whether the orchestrator alone knows that it can run a target. A command can always be run, but its key may have
    expressions that have no values."""
    return target.command is None or target.concurrency_key is not None


class NoDueTime(Exception):
    """The schedule would never be due. `field` names what makes it so; None if no field of the request does."""

    def __init__(self, field: str | None, why: str) -> None:
        super().__init__(why)
        self.field = field


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule is due: once, if it has neither `cron` nor `every`. `anchor` is the time from which `every`
    counts, and of a schedule without any time, the time at which it is due."""

    anchor: datetime
    run_at: datetime | None = None
    cron: str | None = None
    timezone: str | None = None
    every: float | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: float | None = None

    @property
    def recurs(self) -> bool:
        """Whether the schedule fires more than once."""
        return self.cron is not None or self.every is not None

    @property
    def once_at(self) -> datetime:
        """When a schedule is due that fires once."""
        return self.run_at or self.anchor

    def times(self, schedule_id: str) -> Recurrence:
        """The due times of a schedule that recurs. Raises NoDueTime for a cron line or a time zone that was valid when
        it was stored, and that this version or this machine does not know."""
        try:
            return Recurrence(
                schedule_id,
                self.anchor,
                cron=self.cron,
                zone=self.timezone or "UTC",
                every=self._interval,
                start=self.starts_at,
                end=self.ends_at,
                jitter=timedelta(seconds=self.jitter or 0.0),
            )
        except (ValueError, LookupError, OSError) as error:
            raise NoDueTime(None, f"its due times cannot be computed: {error.args[0]}") from error

    def words(self) -> str | None:
        """When a schedule is due that recurs, in words."""
        return words(self.cron, self.timezone or "UTC", self._interval) if self.recurs else None

    @property
    def _interval(self) -> timedelta | None:
        return None if self.every is None else timedelta(seconds=self.every)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a schedule was asked to do."""

    target: JobTarget
    timing: Timing
    catch_up: CatchUp | None
    catch_up_limit: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A due time, and when the schedule fires for it: later by its jitter."""

    due_at: datetime
    run_at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """A schedule as its row has it. `following` is when it is due next, `last_due_at` the last due time that was dealt
    with."""

    id: str
    created_at: datetime
    status: ScheduleStatus
    definition: Definition
    following: Slot | None
    last_due_at: datetime | None
    traceparent: str | None = None
    changed_at: datetime | None = None
    waiting: bool = False
    """Whether firings of it wait."""
    created_by: Actor | None = None


def defined(body: ScheduleCreate, *, anchor: datetime) -> Definition:
    """What a request asks for. `every` counts from `anchor` unless the schedule has a start."""
    return Definition(
        target_of(body),
        Timing(
            anchor=body.start or anchor,
            run_at=body.run_at,
            cron=body.cron,
            timezone=(body.timezone or "UTC") if body.cron is not None else None,
            every=body.every,
            starts_at=body.start,
            ends_at=body.end,
            jitter=(body.jitter or 0.0) if body.recurs else None,
        ),
        (body.catch_up or "last") if body.recurs else None,
        (body.catch_up_limit or CATCH_UP_LIMIT) if body.catch_up == "all" else None,
    )


def target_of(body: ScheduleCreate) -> JobTarget:
    """What a schedule runs."""
    command = body.command_spec() if body.command is not None else None
    return JobTarget(
        job_id=body.job_id,
        pipeline_id=body.pipeline_id,
        command=command,
        name=body.name,
        priority=body.priority,
        params=body.params,
        env={} if command is not None else body.env,
        labels=body.labels,
        concurrency_key=body.concurrency_key,
        concurrency=body.concurrency,
        overlap=body.overlap,
    )


def first_slot(timing: Timing, schedule_id: str, *, after: datetime) -> Slot:
    """When a schedule is due first, or after a change. One that recurs is due after `after`. Raises NoDueTime."""
    if not timing.recurs:
        return Slot(timing.once_at, timing.once_at)
    slot = next_slot(timing, schedule_id, after=after)
    if slot is None:
        field = "end" if timing.ends_at is not None else "start" if timing.starts_at is not None else "cron"
        raise NoDueTime(field, "the schedule would never fire: it has no due time from now on")
    return slot


def next_slot(timing: Timing, schedule_id: str, *, after: datetime) -> Slot | None:
    """The first due time of a schedule that recurs after a time; None if there is none."""
    times = timing.times(schedule_id)
    due = times.after(after)
    return None if due is None else Slot(due, times.fires_at(due))


def fields_of(stored: Stored) -> dict[str, object]:
    """The request that would make this schedule as it is, without what is null or the default."""
    target, timing = stored.definition.target, stored.definition.timing
    fields: dict[str, object] = target.model_dump(exclude_defaults=True, exclude={"command"})
    if target.command is not None:
        fields |= target.command.model_dump(exclude_defaults=True) | {"command": target.command.command}
        if env := {**target.command.env, **target.env}:
            fields["env"] = env
    fields |= {name: getattr(timing, name) for name in ("run_at", "cron", "timezone", "every", "jitter")}
    fields |= {"start": timing.starts_at, "end": timing.ends_at, "catch_up": stored.definition.catch_up}
    fields |= {"catch_up_limit": stored.definition.catch_up_limit}
    fields |= {"paused": stored.status is ScheduleStatus.PAUSED or None}
    return {name: value for name, value in fields.items() if value is not None}


def changed(stored: Stored, patch: SchedulePatch) -> ScheduleCreate:
    """The request that would make the schedule as the patch changes it. Raises BadChange and NoDueTime."""
    given = {name: getattr(patch, name) for name in patch.model_fields_set}
    fields = fields_of(stored)
    if any(given.get(name) is not None for name in TARGETS):
        _drop(fields, TARGETS)
        _drop(fields, _OF_A_COMMAND if given.get("command") is None else ("params",))
    if any(given.get(name) is not None for name in TIMES):
        _drop(fields, TIMES)
        if given.get("cron") is None:
            _drop(fields, ("timezone",))
        if given.get("run_at") is not None:
            _drop(fields, _OF_A_RECURRENCE)
    if (given.get("catch_up") or "last") != "all" and "catch_up" in given:
        _drop(fields, ("catch_up_limit",))
    had = [name for name in TIMES if name in fields]
    fields |= given
    if had and all(fields.get(name) is None for name in TIMES):
        raise NoDueTime(had[0], "a schedule needs a time: run_at, cron or every")
    try:
        return ScheduleCreate.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise BadChange(error) from None


def revised(stored: Stored, patch: SchedulePatch, moment: datetime) -> Stored:
    """The schedule as a patch changes it. Its next due time is computed anew if its times change, or if it comes back
    from a pause or a failure: from `moment` on, and except after a pause, after the last due time that was dealt with.
    A time that is given again as it is changes nothing: a request that is repeated cannot keep an interval from its
    end.

    Raises BadChange and NoDueTime.
    """
    given, was = patch.model_fields_set, stored.status
    body = changed(stored, patch)
    before, live = stored.definition.timing, was in (ScheduleStatus.SCHEDULED, ScheduleStatus.PAUSED)
    definition = defined(body, anchor=before.anchor)
    if _differ(before, definition.timing):
        definition = defined(body, anchor=moment)
    retimed = bool(given & OF_TIMES) and (not live or definition.timing != before)
    revives = retimed or "paused" in given or bool(given & OF_TARGET)
    following = stored.following
    if (was is ScheduleStatus.COMPLETED and not retimed and "paused" not in given) or (
        was is ScheduleStatus.FAILED and not revives
    ):
        status: ScheduleStatus = was
    else:
        status = ScheduleStatus.PAUSED if body.paused else ScheduleStatus.SCHEDULED
        if retimed or was not in (ScheduleStatus.SCHEDULED, status):
            following = _due_again(stored, definition.timing, moment, given)
        if body.paused:
            following = None
    return replace(stored, status=status, definition=definition, following=following, changed_at=moment)


def _differ(before: Timing, after: Timing, *names: str) -> bool:
    """Whether a schedule recurs otherwise than before; `names` are further fields to compare."""
    return any(getattr(before, name) != getattr(after, name) for name in (*TIMES, "starts_at", *names))


def _due_again(stored: Stored, timing: Timing, moment: datetime, given: AbstractSet[str]) -> Slot:
    last = stored.last_due_at or moment
    # A resume goes by the clock as it is: it may have been ahead. What has fired does not fire again, by its firing.
    resumed = stored.status is ScheduleStatus.PAUSED and timing.recurs
    after = moment if resumed else max(moment, last)
    if stored.following is not None and timing.recurs and not _differ(stored.definition.timing, timing, "timezone"):
        after = stored.following.due_at - _TICK  # it may have come, and fire later by the jitter
    try:
        slot = first_slot(timing, stored.id, after=after)
    except NoDueTime:
        if given & OF_TIMES:
            raise
        raise NoDueTime(None, "it has no due time from now on") from None
    if stored.last_due_at is not None and slot.due_at <= stored.last_due_at and not resumed:
        raise NoDueTime(
            "run_at" if timing.run_at != stored.definition.timing.run_at else None,
            "the schedule has fired for that time, or for a later one",
        )
    return slot


def _drop(fields: dict[str, object], names: Iterable[str]) -> None:
    for name in names:
        fields.pop(name, None)
