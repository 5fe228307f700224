"""Reads and deletes dead letters for operators.

Here: reading the stream of dead letters, newest first, and deleting letters from it. Not here: how an event becomes a
dead letter (`shared.bus.dead_letters`), and REST (`shared.web.dead_letters`).

A letter's id is a UUIDv7 made of the time at which the stream stored it and its sequence number, so that it is found
without an index. A stream that was lost and recreated never gives a letter the id of an earlier one.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from pydantic import ValidationError

from schemas.events import EVENT_TYPES
from schemas.subjects import CONSUMERS, DEAD_LETTERS, Catalogue, DeadLetter, Owner
from shared.bus.connection import Connection
from shared.bus.errors import BusError

AT_ONCE: Final = 100
"""Messages that are read concurrently."""
LOOKED_AT: Final = 2000
"""Most sequence numbers that one page reads: other services' and deleted letters lie between the wanted ones."""
NO_MESSAGE: Final = 10037

_SEQUENCE: Final = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class Letter:
    """One stored dead letter."""

    seq: int
    stored_at: datetime
    event_type: str
    content: DeadLetter

    @property
    def id(self) -> str:
        return letter_id(self.seq, self.stored_at)

    @property
    def whole(self) -> bool:
        """Whether the letter keeps the whole event, of a type that this version knows."""
        event = self.content.event
        return isinstance(event, dict) and "id" in event and self.event_type in EVENT_TYPES

    def member(self, name: str) -> str | None:
        """A string member of the event or of its data; None if there is none of this name."""
        event = self.content.event
        if not isinstance(event, dict):
            return None
        data = event.get("data")
        found = event.get(name) or (data.get(name) if isinstance(data, dict) else None)
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Letters, newest first. `before` is where the next page starts; None on the last page."""

    letters: list[Letter]
    before: int | None


class Letters:
    """The dead letters of one service's consumers."""

    def __init__(self, connection: Connection, catalogue: Catalogue, *, owner: Owner) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._stream = catalogue.stream(DEAD_LETTERS)
        self._owners = {spec.durable: spec.owner for spec in CONSUMERS}
        self._owner = owner

    async def page(self, matches: Callable[[Letter], bool], *, limit: int, before: int | None = None) -> LetterPage:
        """Letters that match, with sequence numbers below `before`. A page may be short though another follows.

        Raises BusUnavailable.
        """
        state = (await self._connection.api(f"STREAM.INFO.{self._stream}", {}))["state"]
        first, newest = max(1, int(state["first_seq"])), int(state["last_seq"])  # a stream begins with 0 of both
        at = newest if before is None else min(newest, before - 1)
        stop = max(first, at - LOOKED_AT + 1)
        found: list[Letter] = []
        while at >= stop:
            low = max(stop, at - AT_ONCE + 1)
            for letter in await asyncio.gather(*(self._read(seq) for seq in range(at, low - 1, -1))):
                if letter is not None and matches(letter):
                    if len(found) == limit:
                        return LetterPage(found, found[-1].seq)
                    found.append(letter)
            at = low - 1
        return LetterPage(found, stop if stop > first else None)

    async def get(self, id: str) -> Letter | None:
        """One letter; None if it does not exist or belongs to another service. Raises BusUnavailable."""
        seq = place_of(id)
        letter = None if seq is None else await self._read(seq)
        return letter if letter is not None and letter.id == id else None

    async def delete(self, letter: Letter) -> None:
        """Delete a letter. Deleting it again is not an error. Raises BusUnavailable."""
        try:
            await self._connection.api(f"STREAM.MSG.DELETE.{self._stream}", {"seq": letter.seq, "no_erase": True})
        except BusError as error:
            if error.code != NO_MESSAGE and "no message" not in str(error):
                raise

    async def _read(self, seq: int) -> Letter | None:
        try:
            stored = (await self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"seq": seq}))["message"]
        except BusError as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        try:
            content = DeadLetter.model_validate_json(base64.b64decode(stored["data"]))
        except ValidationError:
            return None  # not written by this platform
        if self._owners.get(content.consumer, "orchestrator") != self._owner:
            return None
        return Letter(seq, _time(stored), self._catalogue.event_type(content.subject), content)


def letter_id(seq: int, stored_at: datetime) -> str:
    """A UUIDv7 of the millisecond at which a letter was stored and its sequence number."""
    milliseconds = int(stored_at.timestamp() * 1000)
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | seq & _SEQUENCE))


def place_of(id: str) -> int | None:
    """The sequence number in a letter's id; None for an id that is not a letter's."""
    number = UUID(id).int
    if number >> 76 & 0xF != 7 or number >> 64 & 0xFFF:
        return None
    return (number & _SEQUENCE) or None


def resent(letter: Letter) -> bytes:
    """A letter's event as a batch of one, for publishing it again."""
    return orjson.dumps([letter.content.event])


def _time(stored: Mapping[str, object]) -> datetime:
    # The server gives nanoseconds; Python takes microseconds.
    text = str(stored["time"]).removesuffix("Z")
    head, _, fraction = text.partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}+00:00")
