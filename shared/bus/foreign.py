"""Counts what a worker's agent publishes that is not its own, or cannot be used: reports, log chunks and heartbeats of
other workers, messages that cannot be decoded, and answers of JetStream that it has sent to others.

NATS checks that an agent publishes only on subjects with the id of its worker. What NATS cannot know, the readers of
the messages check: whether the events in a message are of that worker, and whether an execution is placed on it. Each
reader counts here what it does not believe.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import structlog

from shared.telemetry import LinePace, Metrics

log = structlog.get_logger(__name__)

MANY: Final = 20
"""Most ids in a log line."""


class ForeignKind(StrEnum):
    """What is not believed."""

    BATCH = "batch"
    """A message on a worker's subject that has events of another worker."""
    UNREADABLE = "unreadable"
    """A message on a worker's subject that cannot be decoded, or has values that no table can store."""
    ANSWER = "answer"
    """An answer of JetStream to a publish, on a subject of events, orders or questions: the publisher named it as the
    subject of the reply."""
    REPORT = "report"
    """A report on an execution that is placed on another worker."""
    UNPLACED = "unplaced"
    """A report on an execution that is not known to be placed on any worker, some seconds after it came."""
    LOG = "log"
    """A log chunk of an execution that is placed on another worker."""
    HEARTBEAT = "heartbeat"
    """A heartbeat or an offer that names another worker than its subject."""


class Foreign:
    """The counter of one process."""

    def __init__(self, metrics: Metrics) -> None:
        counter = metrics.counter(
            "foreign_reports_total",
            "Messages of a worker's agent that are not its own or not usable, and changed nothing, by kind: batch,"
            " unreadable, answer, report, unplaced, log, heartbeat.",
            ["kind"],
        )
        self._counters = {kind: counter.labels(kind.value) for kind in ForeignKind}
        self._lines = LinePace()

    def count(self, kind: ForeignKind, worker_id: str | None, *, ids: Sequence[str] = (), detail: str = "") -> None:
        """Count one message, or one report for each of `ids`, by a worker. Logs it, at most once a second."""
        self._counters[kind].inc(max(1, len(ids)))
        if (unlogged := self._lines.due()) is None:
            return
        log.warning(
            "report.foreign",
            kind=kind.value,
            worker_id=worker_id,
            entity_ids=list(ids[:MANY]),
            error=detail or None,
            unlogged=unlogged,
        )
