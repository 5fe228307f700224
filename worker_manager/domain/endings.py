"""How the end of a worker's process is judged: stopped or failed, and whether it left anything unfinished."""

from dataclasses import dataclass
from enum import StrEnum

from schemas.endings import ending_in_words
from schemas.states import WorkerProcessStatus


class Intent(StrEnum):
    """What was asked of a worker: to finish what it has and end, or to end now."""

    DRAIN = "drain"
    FORCE = "force"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended. `clean`: every execution that it was given has an outcome. `ordered`: its process ended
    because it was told to."""

    status: WorkerProcessStatus
    clean: bool
    detail: str
    ordered: bool = False


def judge(intent: Intent | None, *, exit_code: int | None, took_leave: bool) -> Ending:
    """Judge a process that is gone.

    `exit_code` is 128 + N after signal N, None when it is not known (the process ended while the service was down, or
    was started by an earlier run of the service). `took_leave`: its last heartbeat reported that nothing was running
    or unreported. An agent that cannot reach NATS exits with 0 without that heartbeat.
    """
    clean = took_leave and exit_code in (0, None)
    if intent is Intent.FORCE:
        return Ending(WorkerProcessStatus.STOPPED, clean, "stopped by force, as requested", ordered=True)
    if clean or exit_code == 0:
        how = "drained and stopped, as requested" if intent is Intent.DRAIN else "stopped by itself"
        words = how if clean else f"{how}, without a last heartbeat"
        return Ending(WorkerProcessStatus.STOPPED, clean, words, ordered=intent is Intent.DRAIN)
    return Ending(WorkerProcessStatus.FAILED, False, _words(exit_code))


def _words(exit_code: int | None) -> str:
    if exit_code is None:
        return "its process ended; how is not known"
    return f"its process {ending_in_words(exit_code)}"
