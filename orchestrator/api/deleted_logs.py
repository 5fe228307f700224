"""The logs of jobs that are about to be deleted."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from shared.audit import recorded
from shared.bus import Bus, BusError
from shared.errors import BusUnavailable
from shared.outbox import Outbox

DELETING_LOGS: Final = 10.0
"""Seconds that deleting a job's logs may take."""
LOGS_AT_ONCE: Final = 16
LOGS_LATE: Final = timedelta(days=1)
"""How long after an execution's end its last output may be stored."""


async def logs_since(bus: Bus) -> datetime:
    """The end of the oldest executions whose logs may still be kept. Raises BusUnavailable."""
    try:
        return await bus.logs_kept_since() - LOGS_LATE
    except BusError as error:
        raise BusUnavailable(str(error)) from error


@asynccontextmanager
async def logs_deleted(
    outbox: Outbox, bus: Bus, job_ids: Collection[str], executions: Sequence[str]
) -> AsyncIterator[None]:
    """Delete the logs of the jobs' executions, and then, in the block, the jobs. Logs are not in the database, so the
    audit log names the jobs before their logs are deleted. Raises BusUnavailable, and TimeoutError when it takes
    long."""
    if not executions:
        yield
        return
    async with recorded(outbox, *job_ids):
        await _delete_logs(bus, executions)
        yield


async def _delete_logs(bus: Bus, executions: Sequence[str]) -> None:
    """Delete the logs of executions, some at a time."""
    try:
        async with asyncio.timeout(DELETING_LOGS):
            for first in range(0, len(executions), LOGS_AT_ONCE):
                await asyncio.gather(*(bus.delete_log(one) for one in executions[first : first + LOGS_AT_ONCE]))
    except BusError as error:
        raise BusUnavailable(str(error)) from error
