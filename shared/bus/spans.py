"""A set of whole numbers that takes little memory while most of them follow each other: the numbers of log chunks."""

from bisect import bisect_left
from typing import Final

MOST: Final = 1000
"""Most gaps that are remembered; a further one makes the lowest count as filled."""


class Spans:
    """Numbers as spans: each with its first and last number, in ascending order, with gaps between them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.count = 0
        """How many numbers there are."""

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, last: int) -> bool:
        """Add the numbers from `first` to `last`. Returns whether any of them is new."""
        start = bisect_left(self._lasts, first - 1)
        end = start
        known = 0
        while end < len(self._firsts) and self._firsts[end] <= last + 1:
            known += self._lasts[end] - self._firsts[end] + 1
            end += 1
        joined_first, joined_last = first, last
        if end > start:
            joined_first, joined_last = min(first, self._firsts[start]), max(last, self._lasts[end - 1])
        new = joined_last - joined_first + 1 - known
        self._firsts[start:end], self._lasts[start:end] = [joined_first], [joined_last]
        self.count += new
        if len(self._firsts) > self._most + 1:
            self.count += self._firsts[1] - self._lasts[0] - 1
            del self._firsts[1], self._lasts[0]
        return new > 0
