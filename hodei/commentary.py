"""Remarks for a person who follows a job, besides its output: why the job waits, and which attempts are retried."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hodei.client import Client, ClientError
from schemas.matrix import title
from schemas.rest.jobs import TimelineEvent

FIRST_LOOK: Final = 2.0
"""Seconds that a task may wait before its explanation is requested: most start at once."""
NEXT_LOOK: Final = 10.0
_DECIDED: Final = frozenset({"tasks.approved", "tasks.rejected"})
_WAITS: Final = frozenset({"tasks.queued", "tasks.retrying"})


class Commentary:
    """Follows a job's timeline and calls `say` with a sentence for events that its output does not show.

    The remarks are optional: if the services do not return the timeline or an explanation, none is made.
    """

    def __init__(self, client: Client, job_id: str, say: Callable[[str], None]) -> None:
        self._client = client
        self._job_id = job_id
        self._say = say
        self._names: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        """The names of steps that wait for a worker, by task id."""
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Make remarks until the job ends."""
        looking = asyncio.create_task(self._look())
        try:
            self._names = {
                task.id: title(task.name, task.matrix) for task in (await self._client.job(self._job_id)).tasks
            }
            async for event in self._client.follow_events(self._job_id):
                self._hear(event)
        except ClientError:
            return  # the stream of the output reports that the service is away
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            if not looking.cancelled():
                looking.result()

    def _hear(self, event: TimelineEvent) -> None:
        task_id = str(event.data.get("task_id", ""))
        if event.type in _WAITS:
            self._waiting[task_id] = self._names.get(task_id, "")
        else:
            self._waiting.pop(task_id, None)
        if event.type == "tasks.retrying":
            self._say(retry_in_words(event))
        elif event.type == "tasks.approval_requested":
            message = f": {event.data['message']}" if event.data.get("message") else ""
            self._say(f"{event.data.get('name')} waits for an approval (hodei approve {task_id}){message}")
        elif event.type == "jobs.waiting":
            self._say(f"the job waits: {event.data.get('detail')}")
        elif event.type == "jobs.admitted":
            self._say("the job does not wait any more, and begins")
        elif event.type in _DECIDED:
            by = f" by {event.data['by']}" if event.data.get("by") else ""
            self._say(f"{event.data.get('name')} was {event.type.removeprefix('tasks.')}{by}")

    async def _look(self) -> None:
        await asyncio.sleep(FIRST_LOOK)
        while True:
            if self._waiting:
                task_id, name = next(iter(self._waiting.items()))
                try:
                    explanation = await self._client.explain(task_id)
                except ClientError:
                    explanation = None  # the next request may succeed
                if explanation is not None and task_id in self._waiting and explanation.summary != self._told.get(name):
                    self._told[name] = explanation.summary
                    self._say(f"{name}: {explanation.summary}")
            await asyncio.sleep(NEXT_LOOK)


def retry_in_words(event: TimelineEvent) -> str:
    """A sentence for `tasks.retrying`: which attempt failed and why, and when the next one starts."""
    data = event.data
    attempt = int(str(data.get("attempt", 2)))
    due = data.get("run_at")
    seconds = (datetime.fromisoformat(str(due)) - datetime.now(UTC)).total_seconds() if due else 0.0
    when = f"in {seconds:.0f} s" if seconds >= 1 else "now"
    matrix = data.get("matrix")
    name = title(str(data.get("name")), matrix if isinstance(matrix, dict) else None)
    return f"{name}: attempt {attempt - 1} failed ({data.get('reason')}); attempt {attempt} follows {when}"
