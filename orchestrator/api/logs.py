"""/api/v1/jobs/{id}/logs: what a job's tasks wrote, whole or live.

Executions come in the order of their start, each whole before the next, so that the order is the same for every
reader and a stream can be resumed. The lines live in JetStream; an execution's row knows how many chunks there are.
"""

import asyncio
import re
from typing import Final

import structlog
from aiohttp import web

from orchestrator.store.jobs import JobStore
from orchestrator.watch import Listener, Watch
from schemas.rest.jobs import JobLogs
from schemas.states import EXECUTION, JOB, ExecutionStatus
from shared.bus import Bus, LogReader
from shared.database import Record
from shared.errors import Unavailable
from shared.web.api import Api
from shared.web.logs import PLAIN, UNCOUNTED, Log, send_logs
from shared.web.openapi import Answer
from shared.web.sse import EVENT_STREAM, EventStream

LOOK_AGAIN: Final = 2.0
"""Seconds after which a live reader looks without having been told of anything."""
SETTLE: Final = 1.0

_log = structlog.get_logger(__name__)

_EVENT_ID: Final = re.compile(r"^([0-9a-f-]{36})\.(\d{1,9})\.(\d{1,9})$")


def api(jobs: JobStore, bus: Bus, watch: Watch) -> Api:
    """The route."""
    api = Api(tag="jobs")

    @api.get(
        "/api/v1/jobs/{id}/logs",
        summary="Show a job's output",
        answers={200: Answer(JobLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain`, or live as `text/event-stream` until the job is over, by the `Accept` header. "
            "A live stream sends one line per event, resumes after `Last-Event-ID`, and closes with an event named "
            "`end`."
        ),
    )
    async def get_job_logs(request: web.Request, id: str) -> web.StreamResponse:
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await _follow(request, id)
        await jobs.status(id)
        began = [one for one in await jobs.executions(id) if _began(one) or one["log_chunks"]]
        return await send_logs(request, bus, [_log_of(one) for one in began], name="job_id", owner=id)

    async def _follow(request: web.Request, id: str) -> web.StreamResponse:
        await jobs.status(id)
        # Listening comes before looking, so that what falls in between is told.
        async with watch.steps_of(id) as listener, EventStream(request) as stream:
            resume = _EVENT_ID.match(stream.last_event_id or "")
            seen: set[str] = set()
            while True:
                over = JOB.is_final(await jobs.status(id))
                executions = await jobs.executions(id)
                if resume is not None:
                    order = [one["id"] for one in executions]
                    seen |= set(order[: order.index(resume[1])] if resume[1] in order else [])
                ready = [one for one in executions if one["id"] not in seen and (_began(one) or one["log_chunks"])]
                if ready:
                    after = (int(resume[2]), int(resume[3])) if resume and resume[1] == ready[0]["id"] else (0, -1)
                    await _send(stream, id, ready[0], listener, after)
                    seen.add(ready[0]["id"])
                elif over:
                    await stream.send("{}", event="end")
                    break
                else:
                    await listener.changed(LOOK_AGAIN)
        return stream.response

    async def _send(
        stream: EventStream, job_id: str, execution: Record, listener: Listener, after: tuple[int, int]
    ) -> None:
        """One execution's lines, until it is over and everything of it was sent."""
        if execution["log_chunks"] == 0:
            return
        log = _log_of(execution)
        async with bus.read_log(log.execution_id, after=max(0, after[0] - 1), settle=SETTLE) as reader:
            ending = asyncio.create_task(_tell_the_end(reader, job_id, execution, listener))
            try:
                async for chunk in reader:
                    for index, line in enumerate(chunk.lines):
                        if (chunk.seq, index) > after:
                            await stream.send(log.line(line).decode(), id=f"{log.execution_id}.{chunk.seq}.{index}")
            finally:
                ending.cancel()
                await asyncio.wait([ending])

    async def _tell_the_end(reader: LogReader, job_id: str, execution: Record, listener: Listener) -> None:
        """Tell the reader how many chunks there are, as soon as that is known."""
        found: Record | None = execution
        chunks: int | None = None
        try:
            while found is not None and not _over(found):
                await listener.changed(LOOK_AGAIN)
                found = next((one for one in await jobs.executions(job_id) if one["id"] == execution["id"]), None)
            chunks = found["log_chunks"] if found is not None else None
        except Unavailable as error:
            _log.warning("log.end_unknown", execution_id=execution["id"], error=str(error))
        reader.finish(UNCOUNTED if chunks is None else chunks)

    return api


def _began(execution: Record) -> bool:
    return execution["started_at"] is not None


def _over(execution: Record) -> bool:
    return EXECUTION.is_final(ExecutionStatus(execution["status"]))


def _log_of(execution: Record) -> Log:
    return Log(
        execution["id"],
        chunks=execution["log_chunks"],
        truncated=execution["log_truncated"],
        beside={"task": execution["task"], "attempt": execution["attempt"], "execution_id": execution["id"]},
    )
