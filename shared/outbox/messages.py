"""Outbox rows and the messages made of them: pure functions, no I/O.

A row holds the events of one type of one transaction, as a CloudEvents batch ready to be sent. Rows that wait are
merged into one message per event type. The order of the rows of one type is kept, and so is the order of all rows about
the same entity.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

HEAD_ROOM: Final = 4096
"""Bytes of a message that are left free: for its headers, and for the fields that a following event adds."""

MERGE_LIMIT: Final = 512 * 1024
"""Bytes above which nothing more is merged into a message. A single event may be larger."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the outbox. `relay` is the process that wrote it, `entities` are the ids of its events' subjects."""

    id: int
    relay: str
    event_type: str
    events: int
    entities: frozenset[str]
    traceparent: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One or more rows of one event type, in order, that are published as one message."""

    event_type: str
    rows: Sequence[Row]

    @property
    def events(self) -> int:
        return sum(row.events for row in self.rows)

    @property
    def payload(self) -> bytes:
        """The rows' arrays as one array."""
        if len(self.rows) == 1:
            return self.rows[0].payload
        return b"[" + b",".join(row.payload[1:-1] for row in self.rows) + b"]"

    @property
    def traceparent(self) -> str | None:
        """The trace context that all rows share, if they do; every event carries its own as well."""
        first = self.rows[0].traceparent
        return first if all(row.traceparent == first for row in self.rows) else None

    def msg_id(self, source: str) -> str:
        """The id under which the stream knows this message: `<source>-<first>-<last>-<digest>`.

        First and last are for people. The digest covers the ids of all rows, because rows 1 and 3 merged are not rows
        1, 2 and 3 merged, and the processes that wrote them, because a new database counts from 1 again.
        """
        rows = ",".join(f"{row.relay}:{row.id}" for row in self.rows)
        digest = blake2b(rows.encode(), digest_size=6).hexdigest()
        return f"{source}-{self.rows[0].id}-{self.rows[-1].id}-{digest}"


def compose(
    rows: Iterable[Row], *, busy: Set[str] = frozenset(), limit: int = MERGE_LIMIT
) -> tuple[list[Message], list[Row]]:
    """Make at most one message per event type of `rows`; return them in order, and the rows that have to wait.

    A row waits when its type is in `busy`, when its type's message is full, when a row of its type waits before
    it, or when sending it now would let it overtake another row about the same entity.
    """
    types: list[str] = []
    chosen: dict[str, list[Row]] = {}
    sizes: dict[str, int] = {}
    entities: dict[str, set[str]] = {}
    waiting: list[Row] = []
    waiting_types: set[str] = set(busy)
    waiting_entities: set[str] = set()
    for row in rows:
        kind = row.event_type
        fits = kind not in waiting_types and waiting_entities.isdisjoint(row.entities)
        if fits and kind in chosen:
            later = types[types.index(kind) + 1 :]
            fits = sizes[kind] + len(row.payload) <= limit and all(
                entities[other].isdisjoint(row.entities) for other in later
            )
        if not fits:
            waiting.append(row)
            waiting_types.add(kind)
            waiting_entities |= row.entities
        elif kind in chosen:
            chosen[kind].append(row)
            sizes[kind] += len(row.payload)
            entities[kind] |= row.entities
        else:
            types.append(kind)
            chosen[kind] = [row]
            sizes[kind] = len(row.payload)
            entities[kind] = set(row.entities)
    return [Message(kind, chosen[kind]) for kind in types], waiting


def flight(rows: Iterable[Row], *, limit: int = MERGE_LIMIT) -> tuple[list[Message], list[Row]]:
    """As `compose`, but no two of the messages are about the same entity.

    So any of them may fail and be published again later, and no later event has overtaken it.
    """
    messages, waiting = compose(rows, limit=limit)
    spoken: set[str] = set()
    for count, message in enumerate(messages):
        entities = frozenset().union(*(row.entities for row in message.rows))
        if not spoken.isdisjoint(entities):
            left = [row for later in messages[count:] for row in later.rows]
            return messages[:count], sorted([*left, *waiting], key=lambda row: row.id)
        spoken |= entities
    return messages, waiting
