"""Why a job that is shown waits, in one line."""

import asyncio
from typing import Final

from hodei.client import Client, ClientError
from hodei.views import task_title
from schemas.rest.jobs import JobDetail
from schemas.states import TaskStatus

ASKING: Final = 5.0
"""Seconds for which the scheduler may take to answer: the rest of the job is shown without it."""


async def why_it_waits(client: Client, job: JobDetail) -> str:
    """What the job, or the first of its tasks that wait for a worker, waits for; empty if nothing waits. Other tasks
    may run meanwhile. If the scheduler does not answer, the text says so."""
    if job.key_wait is not None:
        return job.key_wait.summary.removeprefix("waits: ")
    waiting = [task for task in job.tasks if task.status is TaskStatus.QUEUED]
    if not waiting:
        return ""
    first, *others = waiting
    try:
        async with asyncio.timeout(ASKING):
            told = await client.explain(first.id)
    except TimeoutError:
        why = "for a worker; the scheduler does not say why in time"
    except ClientError as error:
        why = f"for a worker; why is not known: {error}"
    else:
        if told.status is not TaskStatus.QUEUED:  # it has begun since
            return ""
        why = told.summary.removeprefix("waits: ")
    name = f"{task_title(first)}: " if len(job.tasks) > 1 else ""
    more = f"; {len(others)} more {'task waits' if len(others) == 1 else 'tasks wait'}" if others else ""
    return f"{name}{why}{more}"
