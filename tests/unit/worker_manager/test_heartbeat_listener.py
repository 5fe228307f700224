"""Heartbeats that no agent sends reach no listener."""

from __future__ import annotations

from prometheus_client import generate_latest

from schemas.agents import MAX_NAMED, Heartbeat
from shared.bus import Bus
from shared.telemetry import Metrics
from worker_manager.counters import Counters
from worker_manager.heartbeat_listener import HeartbeatListener

BEAT = Heartbeat.model_validate(
    {"worker_id": "w", "incarnation": "i", "name": "w", "type": "t", "sent_at": "2026-11-28T12:00:00Z", "slots": 1}
)


async def test_what_cannot_be_read_or_names_too_much_is_refused_and_counted() -> None:
    metrics = Metrics()
    heard: list[Heartbeat] = []
    listener = HeartbeatListener(Bus("nats://unused", name="test"), [heard.append], Counters(metrics).agents_refused)
    many = BEAT.model_copy(update={"running": ["e"] * (MAX_NAMED + 1)})
    for payload in (b"{}", many.model_dump_json().encode(), BEAT.model_dump_json().encode()):
        await listener._hear("hodei.agents.w.heartbeat", payload, "")
    assert heard == [BEAT]
    assert b"hodei_agent_messages_refused_total 2.0" in generate_latest(metrics.registry)
