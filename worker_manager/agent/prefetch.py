"""How much more than its free slots a worker takes: Little's law over what ran here lately.

What waits here should be what all slots run in the next HORIZON seconds: slots times horizon by the mean duration. So a
worker of short jobs never idles for a round trip, and a worker of long jobs takes nothing that another could run now.
By duration, not by rate: a worker that got too little to do would measure a low rate, and go on asking for too little.
Pure: the clock is the caller's.
"""

from collections import deque
from typing import Final

WINDOW: Final = 0.2
"""Seconds over which durations are measured."""
HORIZON: Final = 0.2
"""Seconds of work that may wait: a little more than the way of an outcome out and of new work in, under load. What
lasts longer than this is never taken in advance."""
GROWTH: Final = 8
"""For each execution that ended lately, so many may wait: one short job does not promise hundreds of short ones."""
NOTABLE: Final = 0.25
"""A change by this share is worth telling."""
MEMORY: Final = 2.0
"""Seconds for which what was once offered is still accepted: it may be on its way."""


class Prefetch:
    """The room to offer, from the completions told. Times are monotonic seconds; `maximum` bounds the room."""

    def __init__(self, maximum: int, *, slots: int) -> None:
        self._maximum = maximum
        self._slots = slots
        self._ends: deque[tuple[float, float]] = deque()
        self._lasted = 0.0
        """The sum of what is in `_ends`."""
        self._offered = 0
        self._accepted: deque[tuple[float, int]] = deque()

    @property
    def offered(self) -> int:
        """What was offered last."""
        return self._offered

    def completed(self, moment: float, lasted: float) -> None:
        """One execution ended; it lasted so many seconds."""
        self._ends.append((moment, lasted))
        self._lasted += lasted
        if len(self._ends) > max(1, self._maximum):
            self._lasted -= self._ends.popleft()[1]

    def quiet_since(self, moment: float) -> bool:
        """Whether nothing has ended since `moment`."""
        return not self._ends or self._ends[-1][0] < moment

    def room(self, moment: float) -> int:
        """What should wait here at most."""
        while self._ends and self._ends[0][0] <= moment - WINDOW:
            self._lasted -= self._ends.popleft()[1]
        ended = len(self._ends)
        if self._lasted > HORIZON * ended:
            return 0
        likely = self._slots * HORIZON * ended / max(self._lasted, 1e-6)
        return min(self._maximum, GROWTH * ended, round(likely))

    def notable(self, moment: float) -> int | None:
        """The room to offer now, if it differs notably from what was offered last."""
        room = self.room(moment)
        if room == self._offered:
            return None
        if room == 0 or self._offered == 0 or abs(room - self._offered) > NOTABLE * self._offered:
            return room
        return None

    def offer(self, room: int, moment: float) -> None:
        """`room` was offered."""
        self._accepted.append((moment, self._offered))
        self._offered = room

    def acceptable(self, moment: float) -> int:
        """What may be waiting without being sent back: the most that was offered lately."""
        while self._accepted and self._accepted[0][0] < moment - MEMORY:
            self._accepted.popleft()
        return max([self._offered, *(room for _, room in self._accepted)])
