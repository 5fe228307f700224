"""Holds reports of executions that are not known to be placed, until the placement is known.

The scheduler's `tasks.scheduled` is in the stream before the first report of its execution. But a service handles
events in another order when another replica is busy with the placement, or when that is delivered again. Such a report
is neither believed nor dropped: it is held in memory, and handled again after growing pauses. After the last of them it
is dropped, and counted as foreign. Reports that were held when the process ended, or were dropped although their
placement came later, are recovered by recall (`shared.recall`).

Nothing waits for a held report: its message is acknowledged, and those of other workers are handled meanwhile.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from schemas.cloudevents import CloudEvent
from schemas.events import EventData, ExecutionFinished
from shared.bus import Foreign, ForeignKind
from shared.errors import BusUnavailable, Unavailable
from shared.service import Counts, Loop

Event = CloudEvent[EventData]

PAUSES: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try. Together they are longer than the messages of a killed replica take to be delivered
again."""
OF_ONE_WORKER: Final = 1000
"""Most reports that are held of one worker, so that it cannot take the room of others."""
MOST: Final = 20_000
MOST_BYTES: Final = 16 << 20
"""The most characters, about, of the outputs that held reports carry."""
BYTES_OF_ONE_WORKER: Final = MOST_BYTES // 16
"""As MOST_BYTES, for the reports of one worker."""
IDLE: Final = 600.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    event: Event
    worker_id: str
    size: int
    tries: int
    due: float


class HeldReports(Loop):
    """The held reports of one handler; a service. `handle` gets them again, and calls `hold` for those that are still
    too early."""

    def __init__(
        self,
        handle: Callable[[Sequence[Event]], Awaitable[None]],
        foreign: Foreign,
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        super().__init__("held reports", interval=IDLE)
        self._handle = handle
        self._foreign = foreign
        self._pauses = tuple(pauses)
        self._held: dict[tuple[str, str], _Held] = {}
        """By worker and event id: a worker chooses the ids of its events."""
        self._of_workers: Counter[str] = Counter()
        self._bytes_of_workers: Counter[str] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, events: Iterable[Event]) -> None:
        """Hold reports, or hold them again. Counts those as foreign that were tried often enough, and those for which
        there is no room."""
        dropped: dict[str, list[str]] = {}
        pauses: set[float] = set()
        for event in events:
            worker_id = _worker_of(event)
            held = self._remove(worker_id, event.id)
            tries = 0 if held is None else held.tries + 1
            size = _size(event.data)
            full = (
                len(self._held) >= MOST
                or self._of_workers[worker_id] >= OF_ONE_WORKER
                or (size > 0 and self._bytes + size > MOST_BYTES)
                or (size > 0 and self._bytes_of_workers[worker_id] + size > BYTES_OF_ONE_WORKER)
            )
            if full or tries >= len(self._pauses):
                dropped.setdefault(worker_id, []).append(event.subject)
                continue
            pause = self._pauses[tries]
            pauses.add(pause)
            self._held[worker_id, event.id] = _Held(event, worker_id, size, tries, time.monotonic() + pause)
            self._of_workers[worker_id] += 1
            self._bytes_of_workers[worker_id] += size
            self._bytes += size
        for worker_id, ids in dropped.items():
            self._foreign.count(ForeignKind.UNPLACED, worker_id, ids=ids)
        for pause in pauses:
            asyncio.get_running_loop().call_later(pause, self.wake)

    async def run_once(self) -> Counts:
        """Handle the reports that are due. Returns their number."""
        moment = time.monotonic()
        due = [held for held in self._held.values() if held.due <= moment]
        if not due:
            return {}
        try:
            await self._handle([held.event for held in due])
        except (Unavailable, BusUnavailable):
            raise  # all are tried again
        except Exception:  # noqa: BLE001  # one of them must not keep the others from being handled
            for held in due:
                await self._try_alone(held)
        for held in due:
            if self._held.get((held.worker_id, held.event.id)) is held:
                self._remove(held.worker_id, held.event.id)
        return {"handled": len(due)}

    async def _try_alone(self, held: _Held) -> None:
        try:
            await self._handle([held.event])
        except (Unavailable, BusUnavailable):
            raise
        except Exception:  # noqa: BLE001  # it is dropped; recall finds a report that is missed
            _log.exception("held_report.failed", worker_id=held.worker_id, execution_id=held.event.subject)

    def _remove(self, worker_id: str, event_id: str) -> _Held | None:
        held = self._held.pop((worker_id, event_id), None)
        if held is not None:
            self._bytes -= held.size
            self._of_workers[worker_id] -= 1
            self._bytes_of_workers[worker_id] -= held.size
            if not self._of_workers[worker_id]:
                del self._of_workers[worker_id], self._bytes_of_workers[worker_id]
        return held


def _worker_of(event: Event) -> str:
    return str(getattr(event.data, "worker_id", ""))


def _size(data: EventData) -> int:
    if not isinstance(data, ExecutionFinished) or not data.outputs:
        return 0
    return sum(len(name) + len(value) for name, value in data.outputs.items())
