"""Heartbeats that no agent sends reach no listener."""

from __future__ import annotations

from prometheus_client import generate_latest

from schemas.agents import MAX_NAMED, Heartbeat
from shared.bus import Bus
from shared.telemetry import Metrics
from worker_manager.counters import Counters
from worker_manager.heartbeat_listener import HeartbeatListener

WORKER = "01a20000-0000-7000-8000-000000000001"
BEAT = Heartbeat.model_validate(
    {
        "worker_id": WORKER,
        "incarnation": WORKER,
        "name": "w",
        "type": "t",
        "sent_at": "2026-11-28T12:00:00Z",
        "slots": 1,
    }
)


async def test_what_cannot_be_read_or_names_too_much_is_refused_and_counted() -> None:
    metrics = Metrics()
    heard: list[Heartbeat] = []
    listener = HeartbeatListener(Bus("nats://unused", name="test"), [heard.append], Counters(metrics).agents_refused)
    many = BEAT.model_copy(update={"running": ["e"] * (MAX_NAMED + 1)})
    unnamed = BEAT.model_copy(update={"incarnation": "i"})
    unstorable = BEAT.model_copy(update={"labels": {"zone": "a\0"}})
    for beat in (many, unnamed, unstorable, BEAT):
        await listener._hear(f"hodei.agents.{WORKER}.heartbeat", beat.model_dump_json().encode(), "")
    await listener._hear(f"hodei.agents.{WORKER}.heartbeat", b"{}", "")
    assert heard == [BEAT]
    assert b"hodei_agent_messages_refused_total 4.0" in generate_latest(metrics.registry)


async def test_a_heartbeat_that_names_another_worker_than_its_subject_is_counted() -> None:
    metrics = Metrics()
    heard: list[Heartbeat] = []
    bus = Bus("nats://unused", name="test", metrics=metrics)
    listener = HeartbeatListener(bus, [heard.append], Counters(metrics).agents_refused)
    await listener._hear("hodei.agents.another.heartbeat", BEAT.model_dump_json().encode(), "")
    assert heard == []
    assert metrics.value("hodei_foreign_reports_total", kind="heartbeat") == 1
