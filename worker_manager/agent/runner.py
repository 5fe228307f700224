"""The executions of this worker: those that run, those that wait for a slot, and the reports of both.

First in, first out, at most `slots` at a time. All calls are plain and run on the event loop; none waits for the bus.
This module asks for reports, heartbeats and offers; others send them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import structlog

from schemas.agents import Assignment, Dispatch, Drain, Resume, Stop
from schemas.events import ExecutionFinished, ExecutionReturned, ExecutionStarted
from schemas.ids import is_id
from schemas.states import ExecutionStatus, Reason
from shared.clock import now
from worker_manager.agent.execution import Execution, Means
from worker_manager.agent.health import LONGEST_REASON, Health
from worker_manager.agent.memory import Memory
from worker_manager.agent.prefetch import Prefetch
from worker_manager.agent.process import MachineFailed, StartFailed
from worker_manager.agent.reporter import Reporter

log = structlog.stdlib.get_logger(__name__)

SEEN: Final = 20_000
STOPPED_SECONDS: Final = 600.0
STALE_SECONDS: Final = 2.0
"""Seconds without any execution's end after which waiting executions are given back: another worker may be free."""
_CLOSING: Final = 64
"""How many ended executions may still be handing on their logs; at this number no new one is started."""


class Runner:
    """The executions of this agent. At most `slots` run at once; `idle` is set while it holds none at all.

    `changed` is called when the room to offer may have changed.
    """

    def __init__(
        self,
        means: Means,
        reporter: Reporter,
        prefetch: Prefetch,
        health: Health,
        *,
        slots: int,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._means = means
        self._reporter = reporter
        self._prefetch = prefetch
        self._health = health
        self.slots = slots
        self.changed = changed
        self._waiting: deque[Assignment] = deque()
        self._running: dict[str, Execution] = {}
        self._closing: dict[str, Execution] = {}
        self._seen: Memory[None] = Memory(SEEN)
        self._stopped: Memory[Reason] = Memory(SEEN, seconds=STOPPED_SECONDS)
        self._stale: asyncio.TimerHandle | None = None
        self.draining = False
        self.exiting = False
        """Whether it drains in order to stop; then `resume` does not end the drain."""
        self.forsaken = False
        """Set when the process that started the agent is gone and all executions are killed: from then on they have no
        outcome."""
        self.lost: list[str] = []
        """Executions that were ended without an outcome: the scheduler has to call them lost."""
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def running(self) -> list[str]:
        """Executions with a process, or with output that is still being handed on."""
        return [*self._running, *self._closing]

    @property
    def waiting(self) -> list[str]:
        """Executions that were accepted and are not started."""
        return [assignment.execution_id for assignment in self._waiting]

    def has_taken(self, execution_id: str) -> bool:
        """Whether this execution ever came to this agent, as far as the agent remembers."""
        return execution_id in self._seen

    def dispatch(self, dispatch: Dispatch) -> None:
        """Take an order: run its executions, let them wait, or give them back. Repeated or misdirected ones are
        ignored."""
        if dispatch.incarnation != self._means.identity.incarnation:
            log.info("order.for_another_incarnation", incarnation=dispatch.incarnation)
            return
        moment = time.monotonic()
        limit = self.slots + self._prefetch.acceptable(moment)
        for assignment in dispatch.assignments:
            if assignment.execution_id in self._seen:
                continue
            if not is_id(assignment.execution_id):
                log.warning("order.without_id", execution_id=assignment.execution_id[:100])
                continue
            self._seen.put(assignment.execution_id, None, moment)
            reason = self._stopped.pop(assignment.execution_id, moment)
            if reason is not None:
                self._report_unstarted(assignment, reason)
            elif self.draining:
                self._return(assignment, "the worker is draining")
            elif self._health.reason is not None:
                self._return(assignment, f"the worker is unhealthy: {self._health.reason}")
            elif len(self._running) + len(self._waiting) >= limit:
                self._return(assignment, "the worker has no room")
            else:
                self._means.traces.received(assignment)
                self._waiting.append(assignment)
        self._fill()

    def stop(self, stop: Stop) -> None:
        """End executions that run or wait. One that is not known yet is refused when it comes."""
        moment = time.monotonic()
        fenced = stop.reason is Reason.FENCED
        wanted = set(stop.execution_ids)
        for execution_id in wanted:
            execution = self._running.get(execution_id)
            if execution is not None:
                execution.end(stop.reason, silent=fenced)
            elif execution_id not in self._seen:
                self._stopped.put(execution_id, stop.reason, moment)
        unstarted = [assignment for assignment in self._waiting if assignment.execution_id in wanted]
        if unstarted:
            self._waiting = deque(a for a in self._waiting if a.execution_id not in wanted)
            for assignment in unstarted:
                self._report_unstarted(assignment, stop.reason)
            self._settle()

    def drain(self, drain: Drain) -> None:
        """Accept no new work and give back what waits. With `force`, also end what runs, without an outcome."""
        self.draining = True
        self.exiting = self.exiting or drain.exit
        self._return_waiting("the worker is draining")
        if drain.force:
            self.abandon()
        self.changed()
        self._settle()

    def health_changed(self) -> None:
        """Give back what waits while the worker is unhealthy, and offer anew."""
        if self._health.reason is not None:
            self._return_waiting(f"the worker is unhealthy: {self._health.reason}")
            self._settle()
        self.changed()

    def resume(self, _resume: Resume) -> None:
        """Accept work again, unless the agent is about to stop."""
        if self.draining and not self.exiting:
            self.draining = False
            self.changed()

    def abandon(self) -> None:
        """Kill what runs. These executions have no outcome: they are lost, and their tasks are queued again."""
        for execution in list(self._running.values()):
            execution.end(Reason.LOST, grace=0, silent=True)
            if execution.silent:
                self.lost.append(execution.id)

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.slots and len(self._closing) < _CLOSING:
            self._start(self._waiting.popleft())
        if self._waiting and self._stale is None:
            self._stale = asyncio.get_running_loop().call_later(STALE_SECONDS, self._give_back_stale)
        self._settle()

    def _start(self, assignment: Assignment) -> None:
        execution = Execution(assignment, self._means, ended=self._on_ended, complete=self._on_complete)
        try:
            execution.start()
        except MachineFailed as error:
            self._return(assignment, f"the worker is unhealthy: {error}")
            self._health.blame(str(error))
            return
        except StartFailed as error:
            self._report_unstarted(assignment, Reason.START_FAILED, detail=str(error))
            return
        self._running[execution.id] = execution
        if execution.started_at is None:  # its process could not be watched and is being ended
            return
        self._reporter.report(
            ExecutionStarted(
                **self._means.identity.names(assignment),
                started_at=execution.started_at,
            ),
            traceparent=assignment.traceparent,
        )

    def _on_ended(self, execution: Execution) -> None:
        self._closing[execution.id] = self._running.pop(execution.id)
        if execution.started_at is not None:
            self._prefetch.completed(time.monotonic(), execution.lasted)
        if execution.has_log:  # its outcome waits until its log is handed on; its slot is free at once
            asyncio.get_running_loop().call_soon(self._fill)

    def _on_complete(self, execution: Execution) -> None:
        del self._closing[execution.id]
        outcome = execution.finished()
        silent = execution.silent or self.forsaken
        self._means.traces.finished(execution.assignment, outcome, silent=silent)
        if silent:
            log.info("execution.without_outcome", execution_id=execution.id)
        else:
            self._reporter.report(outcome, traceparent=execution.assignment.traceparent)
        self._fill()
        self.changed()

    def _give_back_stale(self) -> None:
        """Give back waiting executions when none has ended for a while: the scheduler may find a worker that is
        free."""
        self._stale = None
        if not self._waiting:
            return
        if self._prefetch.quiet_since(time.monotonic() - STALE_SECONDS):
            self._return_waiting("the worker had no free slot for longer than expected")
            self.changed()
            self._settle()
        else:
            self._stale = asyncio.get_running_loop().call_later(STALE_SECONDS, self._give_back_stale)

    def _return_waiting(self, detail: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for assignment in waiting:
            self._return(assignment, detail)

    def _return(self, assignment: Assignment, detail: str) -> None:
        self._means.traces.unstarted(assignment, "returned")
        self._reporter.report(
            ExecutionReturned(
                **self._means.identity.names(assignment),
                detail=detail[:LONGEST_REASON],
            ),
            traceparent=assignment.traceparent,
        )

    def _report_unstarted(self, assignment: Assignment, reason: Reason, *, detail: str | None = None) -> None:
        failed = reason is Reason.START_FAILED
        self._means.traces.unstarted(assignment, "failed" if failed else "cancelled", reason=reason)
        if reason is Reason.FENCED:
            return
        status: Literal[ExecutionStatus.FAILED, ExecutionStatus.CANCELLED]
        status = ExecutionStatus.FAILED if failed else ExecutionStatus.CANCELLED
        self._reporter.report(
            ExecutionFinished(
                **self._means.identity.names(assignment),
                status=status,
                reason=reason,
                detail=detail[:LONGEST_REASON] if detail is not None else None,
                finished_at=now(),
            ),
            traceparent=assignment.traceparent,
        )

    def _settle(self) -> None:
        if self._running or self._closing or self._waiting:
            self.idle.clear()
        else:
            self.idle.set()
