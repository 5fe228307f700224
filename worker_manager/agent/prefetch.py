"""How many executions a worker takes beyond its free slots: Little's law over the durations of recent executions.

The executions that wait here should be those that all slots run in the next HORIZON seconds: slots times horizon,
divided by the mean duration. So a worker of short jobs never idles for a round trip, and a worker of long jobs takes
none that another worker could run now. The measure is the duration, not the rate: a worker with too little work would
measure a low rate, and go on asking for too little. The code is pure: callers pass the time.
"""

from collections import deque
from typing import Final

WINDOW: Final = 0.2
"""Seconds over which durations are measured."""
HORIZON: Final = 0.2
"""Seconds of work that may wait: a little more than the time for an outcome to leave and new work to arrive under load.
Longer executions are never prefetched."""
GROWTH: Final = 8
"""The most executions that may wait for each one that ended lately: one short job does not promise hundreds."""
NOTABLE: Final = 0.25
"""The share by which the room must change before it is offered anew."""
MEMORY: Final = 2.0
"""Seconds for which an earlier offer is still accepted, because orders based on it may be on their way."""


class Prefetch:
    """The room to offer, from the executions that ended. Times are monotonic seconds; `maximum` limits the room."""

    def __init__(self, maximum: int, *, slots: int) -> None:
        self._maximum = maximum
        self._slots = slots
        self._ends: deque[tuple[float, float]] = deque()
        self._lasted = 0.0
        """The sum of the durations in `_ends`."""
        self._offered = 0
        self._accepted: deque[tuple[float, int]] = deque()

    @property
    def offered(self) -> int:
        """The room that was offered last."""
        return self._offered

    def completed(self, moment: float, lasted: float) -> None:
        """Note that an execution ended; it lasted `lasted` seconds."""
        self._ends.append((moment, lasted))
        self._lasted += lasted
        if len(self._ends) > max(1, self._maximum):
            self._lasted -= self._ends.popleft()[1]

    def quiet_since(self, moment: float) -> bool:
        """Whether no execution has ended since `moment`."""
        return not self._ends or self._ends[-1][0] < moment

    def room(self, moment: float) -> int:
        """The number of executions that should wait here at most."""
        while self._ends and self._ends[0][0] <= moment - WINDOW:
            self._lasted -= self._ends.popleft()[1]
        ended = len(self._ends)
        if self._lasted > HORIZON * ended:
            return 0
        likely = self._slots * HORIZON * ended / max(self._lasted, 1e-6)
        return min(self._maximum, GROWTH * ended, round(likely))

    def notable(self, moment: float) -> int | None:
        """The room to offer now, or None if it does not differ notably from the last offer."""
        room = self.room(moment)
        if room == self._offered:
            return None
        if room == 0 or self._offered == 0 or abs(room - self._offered) > NOTABLE * self._offered:
            return room
        return None

    def offer(self, room: int, moment: float) -> None:
        """Note that `room` was offered."""
        self._accepted.append((moment, self._offered))
        self._offered = room

    def acceptable(self, moment: float) -> int:
        """The number of executions that may wait without being given back: the largest room offered lately."""
        while self._accepted and self._accepted[0][0] < moment - MEMORY:
            self._accepted.popleft()
        return max([self._offered, *(room for _, room in self._accepted)])
