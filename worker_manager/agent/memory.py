"""A map of ids that is limited in size and age; the oldest are forgotten first."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """At most `size` ids with a value each, kept for at most `seconds`. Times are monotonic seconds."""

    def __init__(self, size: int, *, seconds: float = float("inf")) -> None:
        self._size = size
        self._seconds = seconds
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __contains__(self, id: str) -> bool:
        return id in self._values

    def __len__(self) -> int:
        return len(self._values)

    def put(self, id: str, value: V, moment: float) -> None:
        """Remember `id` with a value."""
        self._values[id] = (moment, value)
        while len(self._values) > self._size:
            self._values.popitem(last=False)

    def pop(self, id: str, moment: float) -> V | None:
        """Forget `id`. Returns its value, or None when it is unknown or too old."""
        known = self._values.pop(id, None)
        return known[1] if known is not None and moment - known[0] <= self._seconds else None
