"""The faults of the parts of the platform: killed, asked to stop, frozen, cut off; and how each is lifted."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.recovery.platform import Running

Kind = Literal["kill", "term", "stop", "cut"]
Moment = Literal["rest", "load", "handling"]

SERVERS: Final = ("nats", "postgres")
PARTS: Final = (*SERVERS, "orchestrator", "scheduler", "worker_manager", "worker")
STOP_SECONDS: Final = 10.0
CUT_SECONDS: Final = (1.0, 20.0, 60.0)
KILL_REPEATS: Final = 20
OTHER_REPEATS: Final = 5


@dataclass(frozen=True, order=True)
class Fault:
    """A fault of a part. `seconds` is how long it lasts; with 0 it is over at once, and the platform must recover."""

    kind: Kind
    part: str
    moment: Moment
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" {self.seconds:g} s" if self.seconds else ""
        return f"{self.kind} {self.part}{lasting}, {self.moment}"

    @property
    def repeats(self) -> int:
        return KILL_REPEATS if self.kind == "kill" else OTHER_REPEATS

    @property
    def in_hand_limit(self) -> float:
        """Most seconds until all jobs in hand have ended: two leases if their worker was lost."""
        return 30.0 if self.part == "worker" else 5.0

    @property
    def may_run_twice(self) -> bool:
        """Whether commands may run twice: only the fault of a worker ends running processes."""
        return self.part == "worker"

    async def happen(self, platform: Running) -> None:
        """Inflict the fault, and return when it is lifted."""
        if self.kind == "cut":
            await platform.proxies[self.part].cut()
            await asyncio.sleep(self.seconds)
            await platform.proxies[self.part].mend()
            return
        pids = await platform.pids(self.part)
        if self.kind != "stop":
            os.kill(pids[0], signal.SIGKILL if self.kind == "kill" else signal.SIGTERM)
            return
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def every() -> list[Fault]:
    """All faults."""
    faults: list[Fault] = []
    for part in PARTS:
        faults += [Fault("kill", part, moment) for moment in ("rest", "load", "handling")]
        faults += [Fault("term", part, moment) for moment in ("rest", "load")]
        faults += [Fault("stop", part, moment, STOP_SECONDS) for moment in ("rest", "load")]
    for part in SERVERS:
        faults += [Fault("cut", part, moment, seconds) for seconds in CUT_SECONDS for moment in ("rest", "load")]
    return faults


def named(words: str) -> list[Fault]:
    """The faults that match any of the words, `kill`, `kill:nats`, `cut:postgres:20` or `:worker`, separated by commas.

    Raises ValueError for a word that matches none.
    """
    chosen: list[Fault] = []
    for word in words.split(","):
        kind, part, seconds = (*word.split(":"), "", "")[:3]
        found = [
            fault
            for fault in every()
            if kind in ("", fault.kind) and part in ("", fault.part) and seconds in ("", f"{fault.seconds:g}")
        ]
        if not found:
            raise ValueError(f"{word!r} is none of {', '.join(sorted({f'{f.kind}:{f.part}' for f in every()}))}")
        chosen += [fault for fault in found if fault not in chosen]
    return chosen
