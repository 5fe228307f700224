"""Why a task waits: what each worker says to it, in words, by the same rules that place it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from scheduler.domain.model import Shape
from scheduler.domain.worker import KnownWorker
from scheduler.domain.worker import tags as worker_tags
from schemas.rest.schedules import WorkerGroup, WorkerVerdict
from schemas.states import WorkerStatus

MAX_LISTED: Final = 100
"""Workers that an explanation names one by one."""
MAX_GROUPS: Final = 20
IS_OFFLINE: Final = "is offline"

Claim = tuple[int, datetime, str]


@dataclass(frozen=True, slots=True)
class ReservedFor:
    """The task that a worker is kept for."""

    task_id: str
    claim: Claim
    shape: Shape


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as an explanation sees it; without an agent nothing is ever placed there."""

    worker: KnownWorker
    has_agent: bool
    reserved: ReservedFor | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The task that is explained: its id, its place among all, and the workers on which it failed before.

    `patient_until` is when it stops waiting for another worker than those, in words; None when that is over.
    """

    task_id: str
    claim: Claim
    shuns: tuple[str, ...] = ()
    patient_until: str | None = None


def refusal(shape: Shape, candidate: Candidate, task: Waiting | None = None) -> str | None:
    """What keeps a task of this shape from the worker, as the rest of a sentence about it (`is offline`); None when the
    task fits and there is room."""
    worker = candidate.worker
    if not candidate.has_agent:
        return "has no agent"
    if worker.status is WorkerStatus.OFFLINE:
        return IS_OFFLINE
    if worker.status is WorkerStatus.DRAINING:
        return "is draining and takes nothing new"
    if worker.status is WorkerStatus.UNHEALTHY:
        return f"is unhealthy: {worker.unhealthy}"
    if missing := _missing_labels(shape, worker):
        return missing
    if lacking := _lacking(shape, worker, free=False):
        return lacking
    if worker.slots + worker.prefetch == 0:
        return "offers no slots"
    if task is not None and (reserved := _reserved(shape, candidate, task)):
        return reserved
    if worker.room() is None:
        return f"has no free slot: {worker.busy} placed, {worker.slots} slots"
    if lacking := _lacking(shape, worker, free=True):
        return lacking
    if task is not None and task.patient_until is not None and worker.id in task.shuns:
        return f"had an attempt that failed: the task waits for another worker until {task.patient_until}"
    return None


def verdicts(
    shape: Shape, candidates: Sequence[Candidate], task: Waiting | None = None, *, offline: int = 0
) -> tuple[list[WorkerVerdict], list[WorkerGroup]]:
    """What the workers say: some one by one, those that fit first, and all others in groups of the same words. A task
    does not wait for a worker on which it has not failed where there is no such worker."""
    if task is not None and all(
        one.worker.id in task.shuns or not (one.has_agent and one.worker.could_hold(shape)) for one in candidates
    ):
        task = replace(task, patient_until=None)
    answers = [
        WorkerVerdict(worker_id=one.worker.id, name=one.worker.name, fits=why is None, refusal=why)
        for one in candidates
        for why in [refusal(shape, one, task)]
    ]
    listed = sorted(answers, key=lambda answer: not answer.fits) if len(answers) > MAX_LISTED else answers
    rest = Counter(answer.refusal for answer in listed[MAX_LISTED:])
    rest[IS_OFFLINE] += offline
    groups = [WorkerGroup(count=count, refusal=why) for why, count in rest.most_common(MAX_GROUPS) if count]
    if (left := sum(rest.values()) - sum(group.count for group in groups)) > 0:
        groups.append(WorkerGroup(count=left, refusal="refuses for other reasons"))
    return listed[:MAX_LISTED], groups


def summary(
    position: int, answers: Sequence[WorkerVerdict], others: Sequence[WorkerGroup] = (), *, kept: str | None = None
) -> str:
    """One sentence for a task that waits at `position` (1 is next); `kept` is the worker reserved for it, if any."""
    said = Counter(answer.refusal for answer in answers)
    for group in others:
        said[group.refusal] += group.count
    total, fitting = sum(said.values()), said[None]
    if total == 0:
        return "waits: no worker is known"
    if fitting == 0:
        if kept is not None:
            return f"waits: worker {kept} is reserved for it, until what was placed there before has ended"
        if len(said - Counter({None: fitting})) == 1:
            why = next(why for why in said if why is not None)
            return f"waits: {'every' if total > 1 else 'the only'} worker {why}"
        return f"waits: none of {total} workers can take it now"
    if position > 1:
        return f"waits behind {position - 1} others for {fitting} fitting workers"
    return "is next and about to be placed"


def _reserved(shape: Shape, candidate: Candidate, task: Waiting) -> str | None:
    """Whether the worker is kept for a task of higher claim beside which this one has no room."""
    other = candidate.reserved
    if other is None or other.task_id == task.task_id or task.claim < other.claim:
        return None
    whole, needs, keeps = candidate.worker.whole(), _needs(shape), _needs(other.shape)
    beside = all(need + kept <= has for need, kept, has in zip(needs, keeps, whole, strict=True))
    return None if beside and candidate.worker.slots > 1 else f"is reserved for task {other.task_id}, which needs more"


def _needs(shape: Shape) -> tuple[int, int, int]:
    return (shape.cpu_m, shape.memory_mb, shape.gpu)


def _missing_labels(shape: Shape, worker: KnownWorker) -> str | None:
    tags = worker_tags(worker.type, worker.labels)
    faults = []
    for key, wanted in shape.requires:
        has = tags.get(key)
        if has is None:
            faults.append(f"lacks the label {key}={wanted}")
        elif has != wanted:
            faults.append(f"has {key}={has}, the task requires {key}={wanted}")
    return "; ".join(faults) or None


def _lacking(shape: Shape, worker: KnownWorker, *, free: bool) -> str | None:
    """What its capacity, or what is left of it, falls short of."""
    if worker.capacity is None:
        return None
    capacity = (worker.capacity.cpu_m, worker.capacity.memory_mb, worker.capacity.gpu)
    has = worker.free_resources() if free else capacity
    needs = _needs(shape)
    names = ("cpu_m", "memory_mb", "gpu")
    what = "free" if free else "in all"
    faults = [
        f"has {name} {got} {what}, the task needs {need}"
        for name, need, got in zip(names, needs, has, strict=True)
        if need > got
    ]
    return "; ".join(faults) or None
