"""Counters that another program keeps: their values are read from it and exposed unchanged.

Not here: counters of this process (prometheus_client's Counter, which can only be incremented).
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class ToldCounter(Collector):
    """The series of one counter, by the values of its labels; declared by `Metrics.told_counter`."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._name = name
        self._help = help
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}

    def tell(self, *labels: str, value: float) -> None:
        """Set the value of one series. Raises ValueError for a wrong number of labels."""
        if len(labels) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels)}")
        self._values[labels] = value

    def clear(self) -> None:
        """Remove all series, when their values are not known any more."""
        self._values.clear()

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield self._family(self._values.items())

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Its name, by which the registry finds duplicates."""
        return [self._family(())]

    def _family(self, series: Iterable[tuple[tuple[str, ...], float]]) -> CounterMetricFamily:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in series:
            family.add_metric(labels, value)
        return family
