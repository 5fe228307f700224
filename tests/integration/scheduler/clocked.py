"""A scheduler's process whose schedules go by a clock that a test moves: real time and the seconds in a file. It says
on standard output when it leads.
"""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from scheduler.app import build
from scheduler.settings import SchedulerSettings
from shared.postgres import Leadership
from shared.service import Service, start_all
from shared.service.settings import load
from tests.fixtures.processes import say

CLOCK: Final = "TEST_CLOCK"
"""The variable that names the file."""


def clock() -> datetime:
    """The time by the test's clock."""
    return datetime.now(UTC) + timedelta(seconds=float(Path(os.environ[CLOCK]).read_text()))


async def lead() -> None:
    """Start, stand for election, and go on until killed."""
    services = build(load(SchedulerSettings), clock=clock)
    started: list[Service] = []
    await start_all(services, started)
    [leadership] = [service for service in services if isinstance(service, Leadership)]
    await leadership.led()
    say("leads")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(lead())
