"""What the agents say of themselves, summed: how many were heard of lately, and how much they hold.

An agent has no port: it needs an outbound connection only, so that Prometheus cannot ask it. Its heartbeat carries all
that is told here. Only sums: a series for each worker would be one for every worker that there ever was; single workers
are to be seen over REST. Every replica hears every agent, so that sums over replicas mean nothing: take the maximum.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.agents import Heartbeat
from shared.telemetry import Metrics

HEARD_WITHIN: Final = 30.0
"""Seconds without a word after which an agent is not counted any more."""
MOST: Final = 20_000
"""Agents kept in mind; a word of one more is not counted."""


@dataclass(frozen=True, slots=True)
class _Word:
    at: float
    slots: int
    running: int
    waiting: int
    reporting: int


class AgentMetrics:
    """Listens to heartbeats; what it heard is summed when somebody reads the metrics."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._words: dict[str, _Word] = {}
        self._agents = metrics.gauge("agents", f"Agents heard of in the last {HEARD_WITHIN:g} seconds.")
        self._slots = metrics.gauge("agent_slots", "How many executions those agents run at once.")
        self._executions = metrics.gauge(
            "agent_executions",
            "Executions in those agents' hands: running, waiting to begin, or over with the outcome still to be sent.",
            ["state"],
        )
        self._silence = metrics.gauge(
            "agent_longest_silence_seconds", "How long ago the most silent of those agents was heard, in seconds."
        )
        metrics.before_scrape("agents", self.measure)

    def hear(self, heartbeat: Heartbeat) -> None:
        """Only the latest word of each agent matters."""
        id = heartbeat.worker_id
        if heartbeat.leaving:
            self._words.pop(id, None)
        elif id in self._words or len(self._words) < MOST:
            self._words[id] = _Word(
                self._clock(),
                heartbeat.slots,
                len(heartbeat.running),
                len(heartbeat.waiting),
                len(heartbeat.reporting),
            )

    async def measure(self) -> None:
        """Forget who has fallen silent, and sum up the others."""
        moment = self._clock()
        self._words = {id: word for id, word in self._words.items() if moment - word.at <= HEARD_WITHIN}
        words = self._words.values()
        self._agents.set(len(words))
        self._slots.set(sum(word.slots for word in words))
        self._executions.labels("running").set(sum(word.running for word in words))
        self._executions.labels("waiting").set(sum(word.waiting for word in words))
        self._executions.labels("reporting").set(sum(word.reporting for word in words))
        self._silence.set(max((moment - word.at for word in words), default=0.0))
