"""Prometheus metrics of one process: its registry, declaring metrics in it, and rendering it.

Here: `Metrics`, which a service's app.py makes once and passes to the parts that count. Not here: any particular
metric; each is declared beside the code that counts it (the bus's in `shared.bus.metrics`). Nothing is registered
globally, so two services, or two tests, in one process never share a metric.

Most metrics are counted where things happen. Some must be read from a server (consumer lag, whether the database
answers): their module registers a refresher with `before_scrape`, which runs only when the metrics are scraped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.telemetry.metrics_batch import BatchHistogram
from shared.telemetry.metrics_told import ToldCounter

PREFIX: Final = "hodei_"

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for durations in seconds: from half a millisecond, the latency of the bus, to a hung request."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Buckets for the sizes of batches."""

REFRESH_DEADLINE: Final = 3.0
"""Seconds that the refreshers of one scrape may take: less than `scrape_timeout` in our Prometheus configuration."""
REFRESH_GAP: Final = 1.0
"""Seconds for which a scrape reuses the previous refresh, so that frequent scrapes do not become a load."""

Refresh = Callable[[], Awaitable[None]]

_Metric = MetricWrapperBase | BatchHistogram | ToldCounter
_M = TypeVar("_M", Counter, Gauge, Histogram, BatchHistogram, ToldCounter)
_KINDS: Final = {Counter: "counter", ToldCounter: "counter", Gauge: "gauge"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as declared, with its full name."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


class Metrics:
    """All metrics of one process. Names are given without the `hodei_` prefix, which is added here.

    Declaring a name again returns the same metric, so that parts of one kind (such as several consumers) share it.
    Declaring it as another kind raises ValueError.
    """

    content_type: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, refresh_gap: float = REFRESH_GAP, refresh_deadline: float = REFRESH_DEADLINE) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._metrics: dict[str, _Metric] = {}
        self._declared: list[Declared] = []
        self._refreshers: dict[str, Refresh] = {}
        self._refresh_gap = refresh_gap
        self._refresh_deadline = refresh_deadline
        self._refreshed_at = -refresh_gap
        self._refreshing: asyncio.Task[None] | None = None
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._refresh_failures = self.counter(
            "scrape_refresh_failures_total", "Failures to read metrics for a scrape, by source.", ["source"]
        )

    @property
    def declared(self) -> Sequence[Declared]:
        """The metrics declared so far, for the documentation."""
        return tuple(self._declared)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; `name` ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name}")
        return self._get(Counter, name) or self._add(
            name, Counter(PREFIX + name, help, labels, registry=self.registry), help, labels
        )

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return self._get(Gauge, name) or self._add(
            name, Gauge(PREFIX + name, help, labels, registry=self.registry), help, labels
        )

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A distribution; durations are in seconds and their `name` ends in `_seconds`."""
        return self._get(Histogram, name) or self._add(
            name, Histogram(PREFIX + name, help, labels, registry=self.registry, buckets=buckets), help, labels
        )

    def batch_histogram(
        self, name: str, help: str, label: str | None = None, *, buckets: Sequence[float] = SECONDS
    ) -> BatchHistogram:
        """As `histogram`, for hundreds of observations at a time; use it on the event loop's thread only."""
        found = self._get(BatchHistogram, name)
        if found is not None:
            return found
        made = BatchHistogram(PREFIX + name, help, label, buckets=buckets)
        self.registry.register(made)
        return self._add(name, made, help, () if label is None else (label,))

    def told_counter(self, name: str, help: str, labels: Sequence[str]) -> ToldCounter:
        """As `counter`, for a number that another program counts."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name}")
        found = self._get(ToldCounter, name)
        if found is not None:
            return found
        made = ToldCounter(PREFIX + name, help, labels)
        self.registry.register(made)
        return self._add(name, made, help, labels)

    def before_scrape(self, source: str, refresh: Refresh) -> None:
        """Call `refresh()` before each scrape to set its metrics. It should clear a metric that it cannot read, as an
        old number would pass for a new one. `source` names it in logs and in the metric of failures.
        """
        self._refreshers[source] = refresh
        self._refresh_failures.labels(source)

    async def refresh(self) -> None:
        """Run every refresher, within the deadline. A scrape during a refresh, or just after one, shares its result."""
        if self._refreshing is None:
            if time.monotonic() - self._refreshed_at < self._refresh_gap:
                return
            self._refreshing = asyncio.create_task(self._refresh_all(), name="metrics refresh")
        await asyncio.shield(self._refreshing)

    def render(self) -> bytes:
        """All metrics in the Prometheus text format of `content_type`."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The current value of one sample, by its full name with the prefix; 0 if it was never set. For tests."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def _refresh_all(self) -> None:
        try:
            await asyncio.gather(*(self._ask(source, refresh) for source, refresh in self._refreshers.items()))
        finally:
            self._refreshed_at = time.monotonic()
            self._refreshing = None

    async def _ask(self, source: str, refresh: Refresh) -> None:
        try:
            async with asyncio.timeout(self._refresh_deadline):
                await refresh()
        except Exception as error:  # noqa: BLE001  # one failing refresher must not prevent the scrape
            self._refresh_failures.labels(source).inc()
            _log.warning("metrics.not_refreshed", source=source, error=repr(error))

    def _get(self, kind: type[_M], name: str) -> _M | None:
        metric = self._metrics.get(name)
        if metric is not None and not isinstance(metric, kind):
            raise ValueError(f"{name} is a {type(metric).__name__}, not a {kind.__name__}")
        return metric

    def _add(self, name: str, metric: _M, help: str, labels: Sequence[str]) -> _M:
        kind = _KINDS.get(type(metric), "histogram")
        self._metrics[name] = metric
        self._declared.append(Declared(PREFIX + name, kind, help, tuple(labels)))
        return metric
