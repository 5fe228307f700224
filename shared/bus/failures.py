"""Counts how often each message failed in this process, and decides which messages may be deadly (end the process).

JetStream counts deliveries. That count says little about the message: it also grows when a process with the message is
killed, freezes or loses its connection. So this module counts the handler's failures itself, by stream sequence, for
the life of the process; only these lead to the dead letters. The delivery count serves for one case that a process
cannot count itself: a message that ends every process that handles it. A message that this process has given back does
not count as deadly, and copies of a settled message are dropped.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from shared.bus.pull import Position
from shared.errors import HodeiError

KNOWN_AT_MOST: Final = 10_000
"""Messages whose failures are remembered; beyond it the one that failed longest ago is forgotten, and counts from 0."""
SUSPECT_AFTER: Final = 5
"""Deliveries after which a message is handled alone, so that it cannot take others down with it."""
DEADLY_AFTER: Final = 25
"""Deliveries after which a message that never failed in this process goes to the dead letters without being handled."""


K = TypeVar("K")


class HandedOutTooOften(HodeiError):
    """The message was delivered DEADLY_AFTER times, and no process acknowledged it."""

    def __init__(self, deliveries: int) -> None:
        super().__init__(
            f"delivered {deliveries} times without an acknowledgement: it may crash the process that handles it"
        )


class Failures:
    """How often each message failed in this process."""

    def __init__(self, at_most: int = KNOWN_AT_MOST) -> None:
        self._at_most = at_most
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._spared: OrderedDict[int, None] = OrderedDict()
        self._settled: OrderedDict[tuple[int, float], None] = OrderedDict()

    def note(self, stream_seq: int) -> int:
        """Count one more failure of a message. Returns how many there are now."""
        count = self._counts.pop(stream_seq, 0) + 1
        self._counts[stream_seq] = count
        if len(self._counts) > self._at_most:
            self._counts.popitem(last=False)
        return count

    def of(self, stream_seq: int) -> int:
        """Returns how many failures of a message are known."""
        return self._counts.get(stream_seq, 0)

    def forget(self, stream_seq: int) -> None:
        """Forget the failures of a message."""
        self._counts.pop(stream_seq, None)
        self._spared.pop(stream_seq, None)

    def spare(self, stream_seq: int) -> None:
        """Note that this process gave a message back when it stopped consuming. Such deliveries do not show that the
        message is deadly, so it is not counted as deadly here."""
        self._remember(self._spared, stream_seq)

    def settle(self, stream_seq: int, stored_at: float) -> None:
        """Note that a message is acknowledged or a dead letter, though copies of it may still arrive. `stored_at` tells
        it apart from a message with the same sequence number in a recreated stream."""
        self.forget(stream_seq)
        self._remember(self._settled, (stream_seq, stored_at))

    def settled(self, stream_seq: int, stored_at: float) -> bool:
        """Whether this is a copy of a settled message."""
        return (stream_seq, stored_at) in self._settled

    def deadly(self, position: Position) -> bool:
        """Whether a message must not be handled any more. A message that failed or was given back in this process is
        not deadly: the process survived it."""
        seq = position.stream_seq
        return position.deliveries >= DEADLY_AFTER and not self.of(seq) and seq not in self._spared

    def _remember(self, memory: OrderedDict[K, None], key: K) -> None:
        memory[key] = None
        if len(memory) > self._at_most:
            memory.popitem(last=False)


class Delivered(Protocol):
    """A message with its position in the stream."""

    @property
    def position(self) -> Position: ...


M = TypeVar("M", bound=Delivered)


def groups(messages: Sequence[M]) -> list[list[M]]:
    """Divide messages into groups to be handled in this order: suspects one by one, other redelivered ones, new ones.

    Suspects are handled in stream order. So each one before a deadly message is handled and acknowledged before that
    message ends the process, and of those with equally many deliveries the first is the deadly one.
    """
    suspects = [one for one in messages if one.position.deliveries > SUSPECT_AFTER]
    again = [one for one in messages if 1 < one.position.deliveries <= SUSPECT_AFTER]
    new = [one for one in messages if one.position.deliveries == 1]
    alone = [[one] for one in sorted(suspects, key=lambda one: one.position.stream_seq)]
    return [*alone, *(group for group in (again, new) if group)]
