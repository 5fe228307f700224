"""One execution in this agent, from the start of its process to its outcome.

It owns the process, its output and its timers, and calls the runner twice: when all its processes are gone (the slot is
free), and when its outcome is complete. `runner` decides which executions run and what is reported of them.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import structlog

from schemas.agents import Assignment
from schemas.events import ExecutionFinished, LogSummary
from schemas.states import ExecutionStatus, Reason
from shared.clock import now
from shared.process.tree import Session
from worker_manager.agent.environment import execution_environment
from worker_manager.agent.hand import Hand
from worker_manager.agent.identity import Identity
from worker_manager.agent.logs import LogStream
from worker_manager.agent.output_files import OutputFiles
from worker_manager.agent.outputs import NOTHING
from worker_manager.agent.process import (
    FolderRefused,
    Launcher,
    MachineFailed,
    Process,
    StartFailed,
    Stream,
    Unwatched,
    said_of,
)
from worker_manager.agent.scratch import Scratch
from worker_manager.agent.traces import Traces
from worker_manager.agent.tree import end_tree

log = structlog.stdlib.get_logger(__name__)

FinalStatus = Literal[
    ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, ExecutionStatus.TIMED_OUT
]

CLOSE_WAIT: Final = 2.0
"""Seconds that another process (a filter that still writes) may hold the output open after the command's exit; then the
processes that hold it are ended."""
HELD_WAIT: Final = 2.0
"""Seconds that the output may stay open after the whole tree was killed; then the agent stops reading it."""
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each new try to end a tree."""
_TRIES: Final = 6
"""The number of tries to end what a process left behind. While the process itself runs, the tries go on."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all executions of this agent share. `grace` is in seconds, from TERM to KILL.

    `hand` scans for the processes to end. `blame` is called with the reason when the machine is at fault for a failure.
    """

    identity: Identity
    launcher: Launcher
    scratch: Scratch
    outputs: OutputFiles
    environment: dict[str, str]
    grace: float
    make_log: Callable[..., LogStream]
    traces: Traces
    hand: Hand
    blame: Callable[[str], None]


class Execution:
    """A running execution. Calls `ended(self)` when its processes are gone, and `complete(self)` when its log is handed
    on, too."""

    __slots__ = (
        "_complete",
        "_ended",
        "_ending",
        "_exit_code",
        "_failure",
        "_finished_at",
        "_folder",
        "_log",
        "_means",
        "_outcome",
        "_process",
        "_silent",
        "_stragglers",
        "_timer",
        "_waiting",
        "_written",
        "assignment",
        "started_at",
    )

    def __init__(
        self,
        assignment: Assignment,
        means: Means,
        *,
        ended: Callable[["Execution"], None],
        complete: Callable[["Execution"], None],
    ) -> None:
        self.assignment = assignment
        self.started_at: datetime | None = None
        self._means = means
        self._ended, self._complete = ended, complete
        self._process: Process | None = None
        self._log: LogStream | None = None
        self._folder: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._stragglers: set[int] | None = None
        self._outcome: Reason | None = None
        self._failure: str | None = None
        self._silent = False
        self._exit_code: int | None = None
        self._written = NOTHING
        self._finished_at: datetime | None = None

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.assignment.execution_id

    @property
    def silent(self) -> bool:
        """Whether its outcome is discarded, not reported."""
        return self._silent

    @property
    def lasted(self) -> float:
        """Seconds from the start of its process to its exit; 0 until both are known."""
        if self.started_at is None or self._finished_at is None:
            return 0.0
        return (self._finished_at - self.started_at).total_seconds()

    @property
    def has_log(self) -> bool:
        """Whether it wrote any output, or its log has a remark."""
        return self._log is not None

    def start(self) -> None:
        """Start the process. Raises StartFailed, and MachineFailed when the worker is at fault; then nothing is left
        behind and no callback is called.

        Raises nothing when the process began but could not be watched: `started_at` stays None, and the callbacks are
        called once its whole tree has ended.
        """
        run = self.assignment.run
        try:
            argv = run.argv()
        except ValueError as error:
            raise StartFailed(f"the command cannot be read: {error}") from error
        if not argv:
            raise StartFailed("the command is empty")
        environment = execution_environment(
            self._means.environment,
            self.assignment,
            output=self._means.outputs.path(self.id),
            trace=self._means.traces.environment(self.assignment),
        )
        try:
            self._process = self._launch(argv, environment, run.working_dir)
        except Unwatched as error:  # it may have done part of its work, so it is not given back to run elsewhere
            self._failure = str(error)
            self._means.blame(self._failure)
            self._ending = asyncio.create_task(self._end_unwatched(error.session))
            self._ending.add_done_callback(self._on_ending_done)
            return
        except StartFailed:
            self._leave_folder()
            raise
        self.started_at = now()
        if run.timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(run.timeout, self.end, Reason.TIMEOUT)

    def _launch(self, argv: list[str], environment: dict[str, str], working_dir: str | None) -> Process:
        """Start it in the `working_dir` that the step asks for, or else in a scratch folder, which may have to be made
        anew."""
        launcher, scratch = self._means.launcher, self._means.scratch
        if working_dir is not None:
            return launcher.start(argv, env=environment, cwd=working_dir, listener=self)
        try:
            self._folder = scratch.take()
            try:
                return launcher.start(argv, env=environment, cwd=self._folder, listener=self)
            except FolderRefused:
                self._folder = scratch.renew(self._folder)
                return launcher.start(argv, env=environment, cwd=self._folder, listener=self)
        except OSError as error:
            raise MachineFailed(f"no scratch folder can be made: {error.strerror or error}") from error
        except FolderRefused as error:
            raise MachineFailed(f"no scratch folder can be entered: {error}") from error

    def end(self, reason: Reason, *, grace: float | None = None, silent: bool = False) -> None:
        """End the whole tree for `reason`; the first reason given stays. `grace` 0 kills at once.

        With `silent` its outcome is not reported. An outcome that is known already is still reported, unless it is
        fenced.
        """
        known = self._failure is not None or (self._process is not None and self._process.exited)
        self._silent = self._silent or (silent and (not known or reason is Reason.FENCED))
        if self._process is None:
            return
        if self._process.exited:
            if not self._process.closed:  # another process still holds the output open
                self._end_tree(self._means.grace if grace is None else grace, again=grace == 0)
            return
        if self._outcome is None:
            self._outcome = reason
        self._end_tree(self._means.grace if grace is None else grace, again=grace == 0)

    def on_output(self, stream: Stream, data: bytes) -> None:
        self._open_log().feed(stream, data)

    def on_exit(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._finished_at = now()
        if self._timer is not None:
            self._timer.cancel()

    def on_held(self) -> None:
        if self._ending is None:
            self._waiting = asyncio.get_running_loop().call_later(CLOSE_WAIT, self._on_waited)

    def _on_waited(self) -> None:
        self._end_tree(self._means.grace, again=False)

    def on_closed(self) -> None:
        self._stop_waiting()
        if self._ending is not None:
            return
        assert self._process is not None
        if self._stragglers is None and self._process.group_lives:
            self._end_tree(self._means.grace, again=False)
        else:
            self._gone()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def finished(self) -> ExecutionFinished:
        """The outcome. Call it only after `complete`."""
        status, reason = self._status()
        # Valid by construction: this is on the way of every execution.
        return ExecutionFinished(
            **self._means.identity.names(self.assignment),
            status=status,
            reason=reason,
            detail=self._written.fault if reason is Reason.BAD_OUTPUT else self._failure,
            exit_code=self._exit_code,
            started_at=self.started_at,
            finished_at=self._finished_at or now(),
            log=self._log.summary if self._log is not None else LogSummary(),
            outputs=self._written.outputs or None,
        )

    def _status(self) -> tuple[FinalStatus, Reason | None]:
        code = self._exit_code
        if self._failure is not None:
            return ExecutionStatus.FAILED, Reason.START_FAILED
        if self._outcome is Reason.TIMEOUT:
            return ExecutionStatus.TIMED_OUT, Reason.TIMEOUT
        if self._outcome is not None:
            return ExecutionStatus.CANCELLED, self._outcome
        if code == 0 and self._written.fault is not None:
            return ExecutionStatus.FAILED, Reason.BAD_OUTPUT
        if code == 0:
            return ExecutionStatus.SUCCEEDED, None
        signalled = self._process is not None and self._process.signalled
        return ExecutionStatus.FAILED, Reason.SIGNAL if signalled else Reason.EXIT_CODE

    def _open_log(self) -> LogStream:
        if self._log is None:
            self._log = self._means.make_log(self.id, pause=self._pause, resume=self._resume, taken=self._on_log_taken)
        return self._log

    def _pause(self) -> None:
        if self._process is not None:
            self._process.pause()

    def _resume(self) -> None:
        if self._process is not None:
            self._process.resume()

    def _end_tree(self, grace: float, *, again: bool) -> None:
        self._stop_waiting()
        if self._ending is not None and not again:
            return
        assert self._process is not None
        if self._process.exited and not self._process.closed and self._stragglers is None:
            self._stragglers = set()
        earlier, self._ending = self._ending, None
        if earlier is not None:
            earlier.cancel()  # the new grace replaces the earlier one
        self._ending = asyncio.create_task(self._end(grace))
        self._ending.add_done_callback(self._on_ending_done)

    async def _end(self, grace: float) -> None:
        """End the tree, with new tries for as long as the process runs, because its time limit or cancel was used up.

        A machine without free descriptors or memory can still signal its group, which needs neither.
        """
        process = self._process
        assert process is not None
        tries = 0
        while not await self._try_to_end(process.session, grace):
            tries += 1
            if process.exited and tries >= _TRIES:
                break
            await process.closed_within(grace)
            grace = 0
            await asyncio.sleep(_BACKOFF[min(tries, len(_BACKOFF)) - 1])
        # A process that still holds the output open carries no mark of ours.
        await process.closed_within(HELD_WAIT)

    async def _end_unwatched(self, session: Session) -> None:
        """Kill the processes that left the group of an unwatched process; the group itself is killed already."""
        for pause in _BACKOFF:
            if await self._try_to_end(session, 0):
                return
            await asyncio.sleep(pause)
        await self._try_to_end(session, 0)

    async def _try_to_end(self, session: Session, grace: float) -> bool:
        """End the tree. Returns False when another try is needed."""
        try:
            ended = await end_tree(self.id, session=session, grace=grace, hand=self._means.hand, seen=self._stragglers)
            return ended or session.ended is not None
        except Exception as error:  # noqa: BLE001  # whatever the error, the process must not run on without a limit
            log.error("execution.tree_not_ended", execution_id=self.id, error=repr(error))
            self._means.blame(f"processes cannot be ended: {said_of(error)}")
            if self._process is not None:
                self._process.signal_group(signal.SIGTERM if grace > 0 else signal.SIGKILL)
            return False

    def _on_ending_done(self, task: asyncio.Task[None]) -> None:
        if task is not self._ending:
            return
        self._ending = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("execution.ending_failed", execution_id=self.id, error=repr(error))
        if self._process is not None and not self._process.closed:
            self._process.abandon()
        else:
            self._gone()

    def _gone(self) -> None:
        """Read its outputs, report that all its processes are gone, and close its log."""
        self._written = self._means.outputs.collect(self.id)
        self._ended(self)
        ended = len(self._stragglers or ())
        try:
            if self._log is None and ended:
                self._open_log()
            if self._log is None:
                self._complete(self)
            else:
                self._log.close(ended=ended)
        finally:
            self._leave_folder()

    def _leave_folder(self) -> None:
        if self._folder is not None:
            self._means.scratch.give_back(self._folder)
            self._folder = None

    def _on_log_taken(self) -> None:
        self._complete(self)
