"""Prometheus metrics of one process: a registry of its own and the helpers to declare in it and to print it.

Here: `Metrics`, made once by a service's app.py and handed to whatever counts. Not here: any particular
metric; each lives beside the code that counts it (the bus's in `shared.bus_metrics`). Nothing is registered
globally, so two services, or two tests, in one process never share a number.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

PREFIX: Final = "hodei_"

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for durations: from half a millisecond, the bus's own latency, to a request that has hung."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Buckets for how many things were handled at once."""

_M = TypeVar("_M", bound=MetricWrapperBase)


class Metrics:
    """All the metrics of one process. Names are given without the `hodei_` prefix, which is added here.

    Asking twice for the same name gives the same metric, so that parts of one kind (several consumers, say)
    share it; asking for it as another kind raises ValueError.
    """

    content_type: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._metrics: dict[str, MetricWrapperBase] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; `name` ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name}")
        return self._get(Counter, name) or self._add(name, Counter(PREFIX + name, help, labels, registry=self.registry))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return self._get(Gauge, name) or self._add(name, Gauge(PREFIX + name, help, labels, registry=self.registry))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A distribution; durations are in seconds and their `name` ends in `_seconds`."""
        return self._get(Histogram, name) or self._add(
            name, Histogram(PREFIX + name, help, labels, registry=self.registry, buckets=buckets)
        )

    def render(self) -> bytes:
        """Everything, in the Prometheus text format of `content_type`."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The current value of one sample, by its full name with the prefix; 0 when it was never set. For
        tests.
        """
        return self.registry.get_sample_value(name, labels) or 0.0

    def _get(self, kind: type[_M], name: str) -> _M | None:
        metric = self._metrics.get(name)
        if metric is not None and not isinstance(metric, kind):
            raise ValueError(f"{name} is a {type(metric).__name__}, not a {kind.__name__}")
        return metric

    def _add(self, name: str, metric: _M) -> _M:
        self._metrics[name] = metric
        return metric
