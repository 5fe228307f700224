"""Deletes what is no longer kept, in small batches beside the work of a service.

Here: the loop that runs the batches and rests between them, and its metrics. Not here: what is deleted and when; each
service has its `Kind`s. Short-lived rows, which must go as fast as they are made, are deleted by
`shared.service.Housekeeping`.

After each batch the loop rests for a multiple of the time that the batch took. So it uses at most a quarter of one
connection, and less of the database the busier that is.
"""

import asyncio
from asyncio import sleep
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from shared.clock import now
from shared.errors import BusUnavailable, Unavailable
from shared.service import Counts, Loop, rows_deleted
from shared.telemetry import Metrics

INTERVAL: Final = 60.0
"""Seconds between two runs when nothing is left to delete."""
SHORTEST_INTERVAL: Final = 1.0
LONGEST_RUN: Final = 10.0
"""Seconds that one kind may use of one run; what is left is deleted in the next."""
REST: Final = 0.05
"""Least seconds between two batches."""
REST_FACTOR: Final = 3.0
"""The rest after a batch, as a multiple of the time that the batch took."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one batch: how many rows of the kind it deleted, and whether more may be due now."""

    deleted: int
    more: bool


class Kind(Protocol):
    """One kind of thing that is kept for a limited time."""

    @property
    def name(self) -> str:
        """The plural noun that metrics and log lines use: `jobs`."""

    @property
    def age(self) -> timedelta | None:
        """How long it is kept; None for no limit of age."""

    async def batch(self) -> Batch:
        """Delete a bounded number of those that are due. Cheap when none is."""

    async def oldest(self) -> datetime | None:
        """The time from which the age of the oldest is counted, of those that age alone keeps; None if there is none.
        Read after a run."""


class Retention(Loop):
    """Runs all kinds in turn. Errors of one kind do not stop the others."""

    def __init__(self, kinds: Sequence[Kind], metrics: Metrics, *, rest: float = REST) -> None:
        self._kinds = kinds
        self._rest = rest
        ages = [kind.age.total_seconds() for kind in kinds if kind.age is not None]
        self._calm = max(SHORTEST_INTERVAL, min([INTERVAL, *(age / 10 for age in ages)]))
        super().__init__("retention", interval=self._calm)
        self._counter = rows_deleted(metrics)
        failures = metrics.counter("retention_failures_total", "Runs of retention that failed, by kind.", ["kind"])
        self._limit = metrics.gauge(
            "retention_limit_seconds", "How long something is kept, in seconds, by kind; absent for no limit.", ["kind"]
        )
        self._oldest = metrics.gauge(
            "retention_oldest_seconds",
            "Age of the oldest that retention may delete, in seconds, by kind; 0 if there is none.",
            ["kind"],
        )
        self._deleted = {kind.name: self._counter.labels(kind.name) for kind in kinds}
        self._failures = {kind.name: failures.labels(kind.name) for kind in kinds}
        for kind in kinds:
            if kind.age is not None:
                self._limit.labels(kind.name).set(kind.age.total_seconds())

    def counter(self, kind: str) -> Counter:
        """The counter of rows of a kind that another part deletes."""
        return self._counter.labels(kind)

    async def run_once(self) -> Counts:
        """Delete what is due of each kind, for a limited time. Raises the last error, after all kinds were tried; a
        kind for which something is unavailable waits for the next run."""
        counts: dict[str, int] = {}
        left, failed = False, None
        began = _clock()
        for kind in self._kinds:
            try:
                counts[kind.name], more = await self._run(kind)
                left = left or more
                await self._measure(kind)
            except (Unavailable, BusUnavailable) as error:
                self._failures[kind.name].inc()
                _log.info("retention.postponed", kind=kind.name, error=str(error))
            except Exception as error:  # noqa: BLE001  # counted here, and raised once the others had their turn
                self._failures[kind.name].inc()
                failed = error
        # A pass over many rows that are kept must not begin again at once.
        self.interval = SHORTEST_INTERVAL if left else max(self._calm, _clock() - began)
        if any(counts.values()):
            _log.info("retention.deleted", counts=counts)
        if failed is not None:
            raise failed
        return counts

    async def _run(self, kind: Kind) -> tuple[int, bool]:
        deleted, until = 0, _clock() + LONGEST_RUN
        while True:
            began = _clock()
            batch = await kind.batch()
            deleted += batch.deleted
            self._deleted[kind.name].inc(batch.deleted)
            if not batch.more or _clock() > until:
                return deleted, batch.more
            await sleep(max(self._rest, REST_FACTOR * (_clock() - began)))

    async def _measure(self, kind: Kind) -> None:
        oldest = await kind.oldest()
        self._oldest.labels(kind.name).set(0 if oldest is None else max(0.0, (now() - oldest).total_seconds()))


def _clock() -> float:
    return asyncio.get_running_loop().time()
