"""Refused calls, on their way to the audit log: gathered in memory, and written together every few seconds.

A refusal must cost a stranger's request less than it costs us, so it waits for no database. Equal refusals share a row
with a count, and the buffer is bounded: beyond its limit, refusals of all addresses share one row. A process that is
killed loses those of the last seconds; the metric `access_refused_requests_total` and the log have them.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from schemas.rest.audit import REFUSED, AuditOutcome
from shared.access import Call
from shared.audit.rows import Row, in_path, row_of
from shared.audit.store import AuditStore
from shared.errors import Unavailable
from shared.service import Counts, Loop
from shared.telemetry import Metrics

INTERVAL: Final = 5.0
"""Seconds between two writes."""
MOST: Final = 256
"""Rows that one write inserts, at the most, beside the one that all others share."""
LAST_WRITE: Final = 2.0
"""Seconds that the last write may take when the service stops."""

_Key = tuple[str | None, ...]
_OTHERS: Final[_Key] = ()

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Gathered:
    """The first of equal refusals, and how many followed."""

    row: Row
    repeats: int = 0


class Refusals(Loop):
    """The buffer of refused calls, and the loop that empties it."""

    def __init__(self, store: AuditStore, metrics: Metrics, *, most: int = MOST, interval: float = INTERVAL) -> None:
        super().__init__("audit_refusals", interval=interval)
        self._store = store
        self._most = most
        self._gathered: dict[_Key, _Gathered] = {}
        self._unwritten: list[Row] = []
        """Rows that are being written, or could not be written yet."""
        entries = metrics.counter("audit_entries_total", "Entries written to the audit log, by outcome.", ["outcome"])
        self._written = {outcome.value: entries.labels(outcome.value) for outcome in REFUSED}
        waiting = metrics.gauge("audit_refusals_waiting", "Rows of refused calls that are not in the audit log yet.")
        waiting.set_function(self._waiting)

    def add(self, call: Call, outcome: AuditOutcome) -> None:
        """Note a refused call. Never waits."""
        key = self._key(call, outcome)
        known = self._gathered.get(key)
        if known is None and len(self._gathered) >= self._most:
            key = _OTHERS
            known = self._gathered.get(key)
        if known is not None:
            known.repeats += 1
            return
        row = row_of(call, outcome, [*in_path(call), *call.refused])
        if key is _OTHERS:
            row = row._replace(address=None, token_id=None, token_name=None, entity=None, entities=None, name=None)
        self._gathered[key] = _Gathered(row)

    async def run_once(self) -> Counts:
        """Write what was gathered. What cannot be written is kept for the next run."""
        if not self._unwritten:
            gathered, self._gathered = self._gathered, {}
            self._unwritten = [one.row._replace(repeats=one.repeats or None) for one in gathered.values()]
        written = len(self._unwritten)
        if written:
            await self._store.insert(self._unwritten)
            for row in self._unwritten:
                self._written[row.outcome].inc()
            self._unwritten = []
        return {"rows": written}

    async def stop(self) -> None:
        """End the loop, and write what is left."""
        await super().stop()
        try:
            async with asyncio.timeout(LAST_WRITE):
                while self._waiting():
                    await self.run_once()
        except (Unavailable, TimeoutError) as error:
            _log.warning("audit.refusals_lost", rows=self._waiting(), error=str(error) or "no answer in time")

    def _waiting(self) -> int:
        return len(self._unwritten) + len(self._gathered)

    @staticmethod
    def _key(call: Call, outcome: AuditOutcome) -> _Key:
        """What equal refusals have in common. Those without a valid token are one for each address, whatever they ask
        for: strangers choose paths as they like."""
        who = call.principal
        if outcome is AuditOutcome.UNAUTHORIZED or who is None:
            return outcome, call.address
        return outcome, call.address, who.id, call.method, call.route
