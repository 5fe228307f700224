"""A scheduler's process that says on standard output when it leads, and when it does not any more."""

import asyncio

from scheduler.app import build
from scheduler.settings import SchedulerSettings
from shared.postgres import Leadership
from shared.service import Service, start_all
from shared.service.settings import load
from tests.fixtures.processes import say


async def lead() -> None:
    services = build(load(SchedulerSettings))
    started: list[Service] = []
    await start_all(services, started)
    [leadership] = [service for service in services if isinstance(service, Leadership)]
    while True:
        await leadership.led()
        say("leads")
        await leadership.lost()
        say("follows")


if __name__ == "__main__":
    asyncio.run(lead())
