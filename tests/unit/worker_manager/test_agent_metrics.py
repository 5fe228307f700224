"""What agents say of themselves, summed, and forgotten when they fall silent."""

from datetime import UTC, datetime

from schemas.agents import Heartbeat
from shared.telemetry import Metrics
from worker_manager.agent_metrics import HEARD_WITHIN, AgentMetrics


def beat(worker_id: str, *, running: int = 0, waiting: int = 0, reporting: int = 0, leaving: bool = False) -> Heartbeat:
    return Heartbeat(
        worker_id=worker_id,
        incarnation="i",
        slots=4,
        name="w",
        type="t",
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
        running=["r"] * running,
        waiting=["w"] * waiting,
        reporting=["o"] * reporting,
        leaving=leaving,
    )


async def test_the_latest_words_are_summed_and_the_silent_and_the_gone_are_not() -> None:
    metrics, moment = Metrics(refresh_gap=0), 100.0
    agents = AgentMetrics(metrics, clock=lambda: moment)
    agents.hear(beat("a", running=9))
    agents.hear(beat("a", running=2, waiting=3))
    agents.hear(beat("c"))
    agents.hear(beat("c", leaving=True))
    moment += 10
    agents.hear(beat("b", running=1, reporting=5))

    async def told() -> list[float]:
        await metrics.refresh()
        states = [metrics.value("hodei_agent_executions", state=state) for state in ("running", "waiting", "reporting")]
        gauges = ("hodei_agents", "hodei_agent_slots", "hodei_agent_longest_silence_seconds")
        return [*states, *(metrics.value(name) for name in gauges)]

    assert await told() == [3, 3, 5, 2, 8, 10]
    moment += HEARD_WITHIN - 5
    assert await told() == [1, 0, 5, 1, 4, HEARD_WITHIN - 5]
    moment += HEARD_WITHIN
    assert await told() == [0, 0, 0, 0, 0, 0]
