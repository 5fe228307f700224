"""Explains why a task waits: for each worker the first rule that refuses it, in words (`scheduler.domain.rules`)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, assert_never

from scheduler.domain.model import Shape, Task
from scheduler.domain.room import Held, HeldSpot, Spot
from scheduler.domain.rules import IS_OFFLINE, RULES, Rule, ShapeRule, TaskRule, WholeRule, WorkerRule, could_hold
from scheduler.domain.worker import KnownWorker
from schemas.rest.schedules import WorkerGroup, WorkerVerdict

MAX_LISTED: Final = 100
"""Workers that an explanation lists one by one."""
MAX_GROUPS: Final = 20

Claim = tuple[int, datetime, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker in an explanation; `reserved` is its room if it is reserved for a task."""

    worker: KnownWorker
    reserved: Held | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The explained task: its id, its place in the order of tasks, and the workers on which it failed before.

    `patient_until` is the time, as text, until which it waits for another worker than those; None if it does not.
    """

    task_id: str
    claim: Claim
    shuns: tuple[str, ...] = ()
    patient_until: str | None = None


def refusal(shape: Shape, candidate: Candidate, task: Waiting | None = None) -> str | None:
    """Why the worker does not take a task of this shape, as the rest of a sentence about the worker (`is offline`).
    None if the task fits and there is room. Without a task, only the rules about the shape apply."""
    room = candidate.worker.room()
    asked = None if task is None else _task(shape, task)
    spot = Spot(room) if candidate.reserved is None else HeldSpot(room, candidate.reserved)
    for rule in RULES:
        if (sentence := _sentence(rule, shape, candidate.worker, spot, task, asked)) is not None:
            return sentence
    return None


def _sentence(
    rule: Rule, shape: Shape, worker: KnownWorker, spot: Spot, task: Waiting | None, asked: Task | None
) -> str | None:
    """The sentence of one rule, if it refuses."""
    match rule:
        case WorkerRule():
            return None if rule.allows(worker) else rule.sentence(worker)
        case WholeRule():
            return None if rule.allows(shape, worker) else rule.sentence(shape, worker)
        case ShapeRule():
            return None if rule.allows(shape, spot) else rule.sentence(shape, worker)
        case TaskRule():
            if task is None or asked is None:
                return None
            until = task.patient_until
            if rule.allows(asked, task.shuns, spot, lambda _: until is not None):
                return None
            return rule.sentence(asked, spot, until or "")
    assert_never(rule)


def _task(shape: Shape, waiting: Waiting) -> Task:
    """The waiting task in the form that the rules take."""
    less, ready_at, _ = waiting.claim
    return Task(waiting.task_id, "", 1, "", -less, shape, ready_at, ready_at, shuns=waiting.shuns)


def verdicts(
    shape: Shape, candidates: Sequence[Candidate], task: Waiting | None = None, *, offline: int = 0
) -> tuple[list[WorkerVerdict], list[WorkerGroup]]:
    """The verdicts of at most MAX_LISTED workers, fitting ones first if there are more, and all others grouped by the
    refusal. If the task has failed on every worker that could hold it, it does not wait for another one."""
    if task is not None and all(one.worker.id in task.shuns or not could_hold(one.worker, shape) for one in candidates):
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
        groups.append(WorkerGroup(count=left, refusal="cannot take it for other reasons"))
    return listed[:MAX_LISTED], groups


def summary(
    position: int, answers: Sequence[WorkerVerdict], others: Sequence[WorkerGroup] = (), *, kept: str | None = None
) -> str:
    """One sentence for a task that waits at `position` (1 is next); `kept` is the worker reserved for it, if any.

    Workers that are offline do not hide why the others refuse the task: they are not counted.
    """
    said = Counter(answer.refusal for answer in answers)
    for group in others:
        said[group.refusal] += group.count
    offline = said.pop(IS_OFFLINE, 0)
    online, fitting = sum(said.values()), said[None]
    if fitting == 0:
        if kept is not None:
            return f"waits: worker {kept} is reserved for it, until the executions placed there have ended"
        if online == 0:
            return f"waits: no worker is {'online' if offline else 'known'}"
        return f"waits: {_refused_by_all(said, online, ' that is online' if offline else '')}"
    if position > 1:
        return f"waits behind {position - 1} others for {fitting} fitting workers"
    return "is next and about to be placed"


def _refused_by_all(said: Counter[str | None], total: int, which: str) -> str:
    """Why none of `total` workers takes a task: the reason that they share, or the commonest one with its number.
    `which` follows the word worker and limits it."""
    whole = {why: count for why, count in said.items() if why is not None and count > 0}
    if len(whole) == 1:
        return f"{'every' if total > 1 else 'the only'} worker{which} {next(iter(whole))}"
    rules: Counter[str] = Counter()  # without their figures, which differ between workers
    for why, count in whole.items():
        rules[why.split(": ", 1)[0]] += count
    [(rule, number)] = rules.most_common(1)
    if number == total:
        return f"every worker{which} {rule}"
    return f"none of {total} workers{which.replace('is', 'are')} can take it now: {number} {_agreeing(rule, number)}"


_PLURALS: Final = {"is": "are", "has": "have", "lacks": "lack", "offers": "offer", "accepts": "accept"}


def _agreeing(sentence: str, number: int) -> str:
    """What holds for one worker, put for `number` workers: `are draining and accept no new work`."""
    if number == 1:
        return sentence
    verb = re.compile(r"^\w+|(?<=\band )\w+")
    return verb.sub(lambda found: _PLURALS.get(found[0], found[0]), sentence)
