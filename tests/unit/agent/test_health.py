"""What the worker's health makes of looks that fail."""

from __future__ import annotations

import asyncio

import pytest

from worker_manager.agent.health import Health


async def test_whatever_a_look_raises_is_a_reason_and_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_manager.agent.health._BACKOFF", (0.01,))
    failures = [RuntimeError("can't start new thread"), ValueError("odd"), KeyError()]
    reasons: asyncio.Queue[str | None] = asyncio.Queue()

    def look() -> None:
        if failures:
            raise failures.pop(0)

    health = Health([look], [], interval=0.01)
    health.changed = lambda: reasons.put_nowait(health.reason)
    await health.start()
    async with asyncio.timeout(10):
        assert [await reasons.get() for _ in range(4)] == ["can't start new thread", "odd", "KeyError", None]
    await health.stop()
