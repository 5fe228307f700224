"""Why a task waits: what each worker says to it, in words, by the same rules that place it."""

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.domain.fleet import Worker
from scheduler.domain.fleet import tags as worker_tags
from scheduler.domain.model import Shape
from schemas.rest.schedules import WorkerVerdict
from schemas.states import WorkerStatus


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as an explanation sees it; without an agent nothing is ever placed there."""

    worker: Worker
    has_agent: bool


def refusal(shape: Shape, candidate: Candidate) -> str | None:
    """What keeps a task of this shape from the worker; None when it fits and there is room."""
    worker = candidate.worker
    if not candidate.has_agent:
        return "no agent stands behind it"
    if worker.status is WorkerStatus.OFFLINE:
        return "is offline"
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
    if worker.room() is None:
        return f"has no free slot: {worker.busy} placed, {worker.slots} slots"
    return _lacking(shape, worker, free=True)


def verdicts(shape: Shape, candidates: Sequence[Candidate]) -> list[WorkerVerdict]:
    """Every worker's answer, in the order given."""
    answers = []
    for candidate in candidates:
        why = refusal(shape, candidate)
        worker = candidate.worker
        answers.append(WorkerVerdict(worker_id=worker.id, name=worker.name, fits=why is None, refusal=why))
    return answers


def summary(position: int, answers: Sequence[WorkerVerdict]) -> str:
    """One sentence for a task that waits at `position` (1 is next)."""
    if not answers:
        return "waits: no worker is known"
    fitting = sum(answer.fits for answer in answers)
    if fitting == 0:
        reasons = sorted({answer.refusal for answer in answers if answer.refusal is not None})
        if len(reasons) == 1:
            return f"waits: every worker refuses it: {reasons[0]}"
        return f"waits: none of {len(answers)} workers can take it now"
    if position > 1:
        return f"waits behind {position - 1} others for {fitting} fitting workers"
    return "is next and about to be placed"


def _missing_labels(shape: Shape, worker: Worker) -> str | None:
    tags = worker_tags(worker.type, worker.labels)
    faults = []
    for key, wanted in shape.requires:
        has = tags.get(key)
        if has is None:
            faults.append(f"lacks the label {key}={wanted}")
        elif has != wanted:
            faults.append(f"has {key}={has}, the task requires {key}={wanted}")
    return "; ".join(faults) or None


def _lacking(shape: Shape, worker: Worker, *, free: bool) -> str | None:
    """What its capacity, or what is left of it, falls short of."""
    if worker.capacity is None:
        return None
    capacity = (worker.capacity.cpu_m, worker.capacity.memory_mb, worker.capacity.gpu)
    has = worker.free_resources() if free else capacity
    needs = (shape.cpu_m, shape.memory_mb, shape.gpu)
    names = ("cpu_m", "memory_mb", "gpu")
    what = "free" if free else "in all"
    faults = [
        f"needs {name} {need}, {got} {what}" for name, need, got in zip(names, needs, has, strict=True) if need > got
    ]
    return "; ".join(faults) or None
