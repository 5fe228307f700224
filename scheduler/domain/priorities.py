"""The priorities of jobs that were changed after their submission.

A change arrives in `jobs.reprioritized`, in the orders of the job's later attempts and in the orchestrator's recall
questions, in any order. Each has the number of the change, and the highest number holds. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.events import JobReprioritized, TaskQueued
from schemas.questions import Overdue
from schemas.specs import PRIORITY_RANK

MAX_REMEMBERED: Final = 100_000
"""The most jobs whose changed priority is remembered, for orders that come late; the earliest changes go first."""


@dataclass(frozen=True, slots=True)
class JobPriority:
    """The priority of a job after its change number `changes`, counted from 1."""

    job_id: str
    rank: int
    changes: int

    @classmethod
    def of(cls, said: JobReprioritized | TaskQueued | Overdue) -> "JobPriority | None":
        """The priority of its job in an event or a question; None if the priority was never changed."""
        if said.priority is None or said.priority_changes is None:
            return None
        return cls(said.job_id, PRIORITY_RANK[said.priority], said.priority_changes)


class Priorities:
    """The latest known change of each job."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, JobPriority] = OrderedDict()
        """The earliest change first."""

    def learn(self, changes: Iterable[JobPriority]) -> dict[str, JobPriority]:
        """Remember changes. Returns those that are news, by job id: the last one of each job."""
        news: dict[str, JobPriority] = {}
        for one in changes:
            known = self._known.get(one.job_id)
            if known is not None and known.changes >= one.changes:
                continue
            self._known[one.job_id] = news[one.job_id] = one
            self._known.move_to_end(one.job_id)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return news

    def rank(self, job_id: str, otherwise: int) -> int:
        """The rank of a job's priority, or `otherwise` if no change of it is known."""
        known = self._known.get(job_id)
        return otherwise if known is None else known.rank
