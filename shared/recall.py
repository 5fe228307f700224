"""Recovers events that JetStream has lost, from the services' tables.

A service that has received no event of an attempt for about a lease asks the others about it (`schemas.questions`,
"recall"). Each of them reads its own tables and publishes its later events of the attempt again. For a task that the
other service does not know, the asking service publishes its own event again. Handlers are idempotent and guarded by
the attempt number, so that a repeated event changes nothing.

Here: walking through the rows that may be overdue, asking in pages, and the metrics. Not here: which attempts are
overdue, and which events to publish again (each service's `recall.py`). docs/reliability.md has the whole table.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

import structlog

from schemas.events import ExecutionFinished
from schemas.questions import RECALL_OF, Overdue, Owner, RecallAnswer, RecallQuestion
from shared.bus import Bus, ask
from shared.errors import MessageTooLarge, NotFound, Unavailable
from shared.outbox import Outbox
from shared.telemetry import Metrics

PAGE: Final = 500
"""Attempts in one question."""
DEADLINE: Final = 5.0
PAGE_GAP: Final = 1.0
"""Seconds between two pages of one round, to limit the load of a long queue."""

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")

_log = structlog.get_logger(__name__)


class Walk(Generic[S, P, R]):
    """Reads the rows in some states, a page at a time and state by state, in repeated rounds.

    `read(state, place, limit)` returns at most `limit` rows of a state after a place; `place(row)` is a row's place.
    """

    def __init__(
        self,
        states: Sequence[S],
        start: P,
        read: Callable[[S, P, int], Awaitable[Sequence[R]]],
        place: Callable[[R], P],
        *,
        pause: float,
    ) -> None:
        self._states, self._start, self._read, self._place = tuple(states), start, read, place
        self._between_rounds = pause
        self._left, self._after = self._states, start

    @property
    def pause(self) -> float:
        """Seconds to wait before the next page: `pause` before a new round, else at most PAGE_GAP."""
        begins = (self._left, self._after) == (self._states, self._start)
        return self._between_rounds if begins else min(PAGE_GAP, self._between_rounds)

    async def page(self) -> list[R]:
        """The next page. A page that is not full is the last of its round. After an error, the same page is read
        again."""
        rows: list[R] = []
        left, after = self._left, self._after
        while left:
            missing = PAGE - len(rows)
            found = await self._read(left[0], after, missing)
            rows += found
            if len(found) == missing:
                self._left, self._after = left, self._place(found[-1])
                return rows
            left, after = left[1:], self._start
        self._left, self._after = self._states, self._start
        return rows


class Recall:
    """Asks the other services, and counts the repeated events."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bus = bus
        self._overdue = metrics.counter(
            "overdue_attempts_total",
            "Attempts that this service asked another service about, because it had heard nothing of them for a lease.",
        )
        self._repeated = metrics.counter(
            "repeated_events_total", "Events published again because another service missed them, by type.", ["type"]
        )

    async def ask(self, owner: Owner, overdue: Sequence[Overdue]) -> frozenset[str]:
        """Ask one service about overdue attempts. Returns the ids of the tasks that it does not know.

        A service that does not answer is asked again in the next round.
        """
        unknown: set[str] = set()
        for page in _pages(overdue):
            self._overdue.inc(len(page))
            try:
                answer = await ask(self._bus, RECALL_OF[owner], RecallQuestion(overdue=page), deadline=DEADLINE)
            except (Unavailable, NotFound) as error:
                _log.info("recall.unanswered", owner=owner, attempts=len(page), error=str(error))
                break
            unknown.update(answer.unknown)
            if answer.repeated or answer.unknown:
                _log.warning(
                    "recall.missed",
                    owner=owner,
                    attempts=len(page),
                    repeated=answer.repeated,
                    unknown=len(answer.unknown),
                )
        return frozenset(unknown)

    def repeated(self, event_type: str, count: int = 1) -> None:
        """Count events that this service publishes again."""
        self._repeated.labels(event_type).inc(count)


class UndeliverableOutcomes:
    """Handler of undeliverable `executions.finished`: an outcome that is published again goes without its outputs, if
    the NATS server takes smaller messages by now."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle(self, outcomes: Sequence[ExecutionFinished]) -> None:
        """Raises MessageTooLarge for an outcome that has no outputs."""
        if not all(one.outputs for one in outcomes):
            raise MessageTooLarge(f"{', '.join(one.execution_id for one in outcomes)}: larger than NATS takes")
        async with self._outbox.transaction() as tx:
            tx.emit(*(one.without_outputs() for one in outcomes))


def answered(events: int, unknown: Sequence[str] = ()) -> RecallAnswer:
    """The answer of a service that publishes `events` events again."""
    return RecallAnswer(repeated=events, unknown=list(unknown))


def _pages(overdue: Sequence[Overdue]) -> Iterator[list[Overdue]]:
    for at in range(0, len(overdue), PAGE):
        yield list(overdue[at : at + PAGE])
