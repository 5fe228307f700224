"""Numbers that have to be asked for: once for readers together, never beyond the deadline, none at others' cost."""

import asyncio

from shared.telemetry import Metrics


async def test_readers_share_the_answers() -> None:
    metrics = Metrics(refresh_gap=3600)
    gauge = metrics.gauge("depth", "Depth.")
    asked = asyncio.Event()
    go = asyncio.Event()
    times = 0

    async def refresh() -> None:
        nonlocal times
        times += 1
        asked.set()
        await go.wait()
        gauge.set(7)

    metrics.before_scrape("pond", refresh)
    first = asyncio.create_task(metrics.refresh())
    await asked.wait()
    second = asyncio.create_task(metrics.refresh())
    go.set()
    await asyncio.gather(first, second)
    await metrics.refresh()

    assert times == 1, "the second shared the first's, the third came within the gap"
    assert metrics.value("hodei_depth") == 7


async def test_a_reader_who_leaves_takes_nothing_from_the_others() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("depth", "Depth.")
    asked, go = asyncio.Event(), asyncio.Event()

    async def refresh() -> None:
        asked.set()
        await go.wait()
        gauge.set(7)

    metrics.before_scrape("pond", refresh)
    leaving, staying = asyncio.create_task(metrics.refresh()), asyncio.create_task(metrics.refresh())
    await asked.wait()
    leaving.cancel()
    go.set()
    await staying

    assert leaving.cancelled()
    assert metrics.value("hodei_depth") == 7


async def test_what_fails_or_hangs_is_counted_and_costs_nobody_else() -> None:
    metrics = Metrics(refresh_gap=0, refresh_deadline=0.05)
    gauge = metrics.gauge("depth", "Depth.")

    async def fails() -> None:
        raise OSError("away")

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def works() -> None:
        gauge.inc()

    refreshers = {"fails": fails, "hangs": hangs, "works": works}
    for source, refresh in refreshers.items():
        metrics.before_scrape(source, refresh)
    async with asyncio.timeout(10):
        await metrics.refresh()
        await metrics.refresh()

    assert metrics.value("hodei_depth") == 2
    failures = [metrics.value("hodei_scrape_refresh_failures_total", source=source) for source in refreshers]
    assert failures == [2, 2, 0]
