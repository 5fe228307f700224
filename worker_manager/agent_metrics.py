"""Metrics of the agents, summed over all of them: how many there are, and how many executions they hold.

An agent has no port (it needs an outbound connection only), so that Prometheus cannot scrape it. These metrics come
from its heartbeats. They are sums, because a series for each worker would stay for every worker that there ever was;
REST shows single workers. Every replica hears every agent: take the maximum over replicas, not the sum.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.agents import Heartbeat
from shared.telemetry import Metrics

HEARD_WITHIN: Final = 30.0
"""Seconds without a heartbeat after which an agent is not counted any more."""
MOST: Final = 20_000
"""Agents that are counted; the heartbeats of one more are ignored."""


@dataclass(frozen=True, slots=True)
class _Beat:
    at: float
    slots: int
    running: int
    waiting: int
    reporting: int


class AgentMetrics:
    """Remembers the latest heartbeat of each agent; the sums are made when the metrics are read."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, _Beat] = {}
        self._agents = metrics.gauge("agents", f"Agents that sent a heartbeat in the last {HEARD_WITHIN:g} seconds.")
        self._slots = metrics.gauge("agent_slots", "Slots of these agents: how many executions they run at once.")
        self._executions = metrics.gauge(
            "agent_executions",
            "Executions that these agents hold: running, waiting to start, or ended with the outcome still to be sent.",
            ["state"],
        )
        self._silence = metrics.gauge(
            "agent_longest_silence_seconds",
            "Time since the last heartbeat of the agent that has been silent the longest, in seconds.",
        )
        metrics.before_scrape("agents", self.measure)

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat. Only the latest of each agent matters."""
        id = heartbeat.worker_id
        if heartbeat.leaving:
            self._beats.pop(id, None)
        elif id in self._beats or len(self._beats) < MOST:
            self._beats[id] = _Beat(
                self._clock(),
                heartbeat.slots,
                len(heartbeat.running),
                len(heartbeat.waiting),
                len(heartbeat.reporting),
            )

    async def measure(self) -> None:
        """Forget the agents that have fallen silent, and sum up the others."""
        moment = self._clock()
        self._beats = {id: beat for id, beat in self._beats.items() if moment - beat.at <= HEARD_WITHIN}
        beats = self._beats.values()
        self._agents.set(len(beats))
        self._slots.set(sum(beat.slots for beat in beats))
        self._executions.labels("running").set(sum(beat.running for beat in beats))
        self._executions.labels("waiting").set(sum(beat.waiting for beat in beats))
        self._executions.labels("reporting").set(sum(beat.reporting for beat in beats))
        self._silence.set(max((moment - beat.at for beat in beats), default=0.0))
