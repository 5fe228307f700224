"""What a consumer knows of messages that came to no good end: how often each failed here, and which may be deadly.

JetStream counts how often it handed a message out. That number says little of the message: it grows when a process
is killed, freezes or is cut off with the message in hand. Failures of the handler are therefore counted here, by the
message's place in the stream, for as long as the process lives; only they lead to the dead letters. The server's count
serves for one case, which no process can count itself: a message that ends every process that handles it. A message
that this process has given back alive is not taken for one, and copies of a message that is done with are dropped.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from shared.bus.pull import Position
from shared.errors import HodeiError

KNOWN_AT_MOST: Final = 10_000
"""Messages whose failures are remembered; beyond it the one that failed longest ago is forgotten, and starts anew."""
SUSPECT_AFTER: Final = 5
"""Deliveries after which a message is handled alone, so that the others do not share its fate."""
DEADLY_AFTER: Final = 25
"""Deliveries after which a message that never failed in this process goes to the dead letters without being handled."""


K = TypeVar("K")


class HandedOutTooOften(HodeiError):
    """The message was handed out again and again, and no process lived to answer it."""

    def __init__(self, deliveries: int) -> None:
        super().__init__(f"handed out {deliveries} times without an answer: it may end the process that handles it")


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
        """How many failures of a message are known."""
        return self._counts.get(stream_seq, 0)

    def forget(self, stream_seq: int) -> None:
        """The message is done with."""
        self._counts.pop(stream_seq, None)
        self._spared.pop(stream_seq, None)

    def spare(self, stream_seq: int) -> None:
        """A message was given back in good order: its deliveries speak of our stops, so it is handled here once more
        before it counts as deadly."""
        self._remember(self._spared, stream_seq)

    def settle(self, stream_seq: int, stored_at: float) -> None:
        """The message is done with; copies of it may still come. The moment it was stored tells it from another one
        with its number, in a stream that began anew."""
        self.forget(stream_seq)
        self._remember(self._settled, (stream_seq, stored_at))

    def settled(self, stream_seq: int, stored_at: float) -> bool:
        """Whether this is a copy of a message that is done with."""
        return (stream_seq, stored_at) in self._settled

    def deadly(self, position: Position) -> bool:
        """Whether a message is not to be handled any more. One that has failed here, or was given back here, is known
        to leave us alive."""
        seq = position.stream_seq
        return position.deliveries >= DEADLY_AFTER and not self.of(seq) and seq not in self._spared

    def _remember(self, memory: OrderedDict[K, None], key: K) -> None:
        memory[key] = None
        if len(memory) > self._at_most:
            memory.popitem(last=False)


class Delivered(Protocol):
    """A message with its place."""

    @property
    def position(self) -> Position: ...


M = TypeVar("M", bound=Delivered)


def groups(messages: Sequence[M]) -> list[list[M]]:
    """Which messages are handled together, in this order: suspects one by one, others that come again, new ones.

    Suspects go in the order of the stream. So each one before a deadly message is handled and acknowledged before that
    message ends the process, and of those that have come equally often the first is the culprit.
    """
    suspects = [one for one in messages if one.position.deliveries > SUSPECT_AFTER]
    again = [one for one in messages if 1 < one.position.deliveries <= SUSPECT_AFTER]
    new = [one for one in messages if one.position.deliveries == 1]
    alone = [[one] for one in sorted(suspects, key=lambda one: one.position.stream_seq)]
    return [*alone, *(group for group in (again, new) if group)]
