"""Counters that somebody else keeps: the numbers are read from him and told on as they are.

Not here: what we count ourselves (prometheus_client's Counter, which can only be added to).
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class ToldCounter(Collector):
    """The series of one counter, by their labels' values; declared by `Metrics.told_counter`."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._name = name
        self._help = help
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}

    def tell(self, *labels: str, value: float) -> None:
        """What the other one has counted so far. Raises ValueError for a wrong number of labels."""
        if len(labels) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels)}")
        self._values[labels] = value

    def clear(self) -> None:
        """Nothing is known any more."""
        self._values.clear()

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield self._family(self._values.items())

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Its name, so that nobody else takes it."""
        return [self._family(())]

    def _family(self, series: Iterable[tuple[tuple[str, ...], float]]) -> CounterMetricFamily:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in series:
            family.add_metric(labels, value)
        return family
