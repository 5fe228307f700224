"""The lag of the event loop is measured by a timer that comes late."""

import asyncio
import time

from shared.telemetry import EventLoopLag, Metrics


async def test_a_loop_that_was_held_shows_how_long() -> None:
    metrics = Metrics()
    lag = EventLoopLag(metrics, interval=0.01)
    await lag.start()
    time.sleep(0.2)  # noqa: ASYNC251  # the very thing that is to be seen
    async with asyncio.timeout(10):
        while not metrics.value("hodei_event_loop_lag_seconds_count"):  # noqa: ASYNC110  # see below
            await asyncio.sleep(0)  # one turn of the loop, the thing measured
    await lag.stop()

    assert metrics.value("hodei_event_loop_lag_seconds_sum") >= 0.18
    assert metrics.value("hodei_event_loop_lag_seconds_bucket", le="0.1") == 0
