"""Recording changes: the row of a call is written by the transaction that makes the change, in its last statement.

A transaction that emits events writes the row beside them, into the outbox. The row moves to the table of the audit log
when the events are deleted from the outbox (docs/adr/0034). Any other transaction writes it into that table.

A call leaves one row. If its changes take several transactions, the first one has the row, and a later one has a
further row only if it changes entities that no row of this call names: so the deletion of many jobs names them all.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from prometheus_client import Counter

from schemas.rest.audit import AuditOutcome
from shared.access import Call, calling
from shared.audit.rows import entry_of, in_path, named_by, row_of
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import load_queries
from shared.telemetry import Metrics

NO_ENTITY: Final = ""
"""Stands among the recorded ids of a call whose row names no entity."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Recorder:
    """Adds rows to the transactions of an outbox: `outbox.before_close(recorder.add)`."""

    def __init__(self, metrics: Metrics) -> None:
        entries = metrics.counter("audit_entries_total", "Entries written to the audit log, by outcome.", ["outcome"])
        for outcome in AuditOutcome:
            entries.labels(outcome.value)
        self._changed, self._failed = (entries.labels(one.value) for one in (AuditOutcome.CHANGED, AuditOutcome.FAILED))
        self._query = load_queries("shared.audit")["record_call"]

    def add(self, tx: OutboxTransaction) -> None:
        """Add the current call's row to a transaction that is about to be closed, if it makes a change."""
        call = calling()
        if call is None or call.method in READS or not (tx.emitted or tx.is_change or tx.is_failure):
            return
        entities = named_by(tx.emitted)
        if first := [*in_path(call), *tx.entities]:
            entities = dict.fromkeys(first) | entities
        if tx.is_failure:
            outcome = AuditOutcome.FAILED
            entities |= dict.fromkeys(sorted(call.recorded - {NO_ENTITY}))
        elif call.recorded and call.recorded.issuperset(entities):
            return
        else:
            outcome = AuditOutcome.CHANGED
        if tx.emitted:
            tx.audit_entry = entry_of(call, outcome, entities)
        else:
            tx.close_with(self._query, *row_of(call, outcome, entities)[:-1])
        tx.on_commit(partial(_written, call, entities, self._failed if tx.is_failure else self._changed))


def _written(call: Call, entities: Collection[str], entries: Counter) -> None:
    call.recorded.update(entities or [NO_ENTITY])
    entries.inc()


@asynccontextmanager
async def recorded(outbox: Outbox, *entities: str) -> AsyncIterator[None]:
    """Use around a change that is made outside the database: the row is there before it. If the block raises, a second
    row says that it failed."""
    if calling() is None:
        yield
        return
    async with outbox.transaction() as tx:
        tx.changes(*entities)
    try:
        yield
    except Exception:
        async with outbox.transaction() as tx:
            tx.fails(*entities)
        raise
