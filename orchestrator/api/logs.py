"""/api/v1/jobs/{id}/logs: the output of a job's tasks, complete or live.

Complete logs list the executions one after the other, in the order of their start; live logs follow them at the same
time (`orchestrator.following`). The lines are in JetStream; an execution's row has the number of its chunks.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from orchestrator.following import NOTHING_SEEN, Cursor, Follower, Send, began, in_order, log_of
from orchestrator.store.jobs import JobStore
from orchestrator.watch import Watch
from schemas.rest.jobs import JobLogs
from schemas.rest.logs import JobLogQuery
from schemas.states import JOB
from shared.bus import Bus
from shared.errors import FieldError, Invalid, shortened
from shared.excerpts import Excerpts
from shared.postgres import Record
from shared.transcript import Entries, Entry, Transcript, Visit
from shared.web import EVENT_STREAM, LAST_EVENT_ID, Answer, Api, EventStream
from shared.web.logs import PLAIN, Page, Shown, check_one_execution, check_query, json_entry, read_excerpts, send_logs

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class LogRoutes:
    """The handler of the route."""

    jobs: JobStore
    bus: Bus
    watch: Watch

    async def get_job_logs(self, request: web.Request, id: str, query: JobLogQuery) -> web.StreamResponse:
        live = EVENT_STREAM in request.headers.get("Accept", "")
        check_query(query, live=live)
        if live:
            return await (self._follow(request, id, query) if query.follow else self._so_far(request, id, query))
        over = JOB.is_final(await self.jobs.status(id))
        chosen = await self._chosen(id, query)
        pages = [Page(log_of(one), one["log_truncated"], beside(one)) for one in chosen if began(one)]
        # Only of an attempt it is known that no other execution follows.
        ended = bool(chosen) and (query.attempt or query.execution_id) and all(log_of(one).over for one in chosen)
        running = not over and not ended
        return await send_logs(request, self.bus, pages, query, Shown("job_id", id, running, _file(id, query)))

    async def _chosen(self, id: str, query: JobLogQuery) -> list[Record]:
        """The executions that a query names. Raises Invalid if the job has no such step."""
        chosen = [one for one in await self.jobs.executions(id) if is_chosen(one, query)]
        if not chosen and query.step is not None and not await self.jobs.has_step(id, query.step):
            raise Invalid([FieldError(("query", "step"), f"this job has no step {shortened(query.step)!r}", "unknown")])
        return chosen

    async def _follow(self, request: web.Request, id: str, query: JobLogQuery) -> web.StreamResponse:
        await self.jobs.status(id)
        began_now = [one for one in await self._chosen(id, query) if began(one)]
        check_one_execution(query, len(began_now), live=True)
        # Listen before the first read, so that no change in between is missed.
        async with self.watch.steps_of(id) as listener, EventStream(request) as stream:
            send = _sender(stream)
            cursor = Cursor.parse(stream.last_event_id or "")
            if stream.last_event_id is None:
                await self._begin(began_now, query, cursor, send)
                # A viewer that is cut off before the first line resumes here, not at another beginning.
                await stream.position(str(cursor) or NOTHING_SEEN)
            follower = Follower(
                self.jobs,
                self.bus,
                id,
                listener,
                cursor,
                send,
                chosen=lambda execution: is_chosen(execution, query),
                execution_id=query.execution_id,
            )
            await follower.run()
            await stream.send(to_json({"expired": follower.expired}).decode(), event="end")
        return stream.response

    async def _so_far(self, request: web.Request, id: str, query: JobLogQuery) -> web.StreamResponse:
        """Send the output so far, as events from which a viewer resumes."""
        await self.jobs.status(id)
        executions = in_order([one for one in await self._chosen(id, query) if began(one)])
        stored = _Stored(self.bus, executions, Cursor.parse(request.headers.get(LAST_EVENT_ID, "")))
        async with aclosing(stored.parts()) as parts:
            first = await anext(parts, None)  # before the response begins: an unavailable bus gives a 503
            async with EventStream(request) as stream:
                send = _sender(stream)
                if first is not None:
                    await send(*first, stored.cursor)
                async for execution, entries in parts:
                    await send(execution, entries, stored.cursor)
                await stream.send(to_json({"expired": stored.expired}).decode(), event="end")
        return stream.response

    async def _begin(self, executions: Sequence[Record], query: JobLogQuery, cursor: Cursor, send: Send) -> None:
        """Send the parts of the output with which a stream should begin, and move the cursor after them."""
        parts = await read_excerpts(self.bus, [log_of(one) for one in executions], query)
        if parts is None:
            return
        shown = list(zip(executions, parts, strict=True))
        for execution, part in shown:
            if part is None:  # it is before the last lines
                end = None if log_of(execution).over else await Excerpts(self.bus).end(log_of(execution))
                cursor.move(execution["position"], execution["attempt"], end)
        for execution, part in shown:
            if part is not None:
                await send(execution, part.to_go_on(), cursor)
                cursor.move(execution["position"], execution["attempt"], part.after)


@dataclass(slots=True)
class _Stored:
    """What is stored of the output of executions, one after the other, from `cursor` on. `expired` is whether some of
    it is no longer kept."""

    bus: Bus
    executions: Sequence[Record]
    cursor: Cursor
    expired: bool = False
    _visit: Visit = field(default_factory=Visit)

    async def parts(self) -> AsyncGenerator[tuple[Record, Entries], None]:
        """The entries of each execution, chunk by chunk. While they are sent, the cursor is before them in their
        execution, and after all earlier ones. Raises BusUnavailable."""
        for execution in self.executions:
            step, attempt = execution["position"], execution["attempt"]
            place = self.cursor.place(step, attempt)
            if place is None:
                continue
            log = log_of(execution)
            transcript = Transcript(self.bus, log, visit=self._visit, place=place)
            async for entries in transcript.parts():
                if entries:
                    yield execution, entries
            self.cursor.move(step, attempt, None if log.over else transcript.place)
            self.expired = self.expired or transcript.expired


def _sender(stream: EventStream) -> Send:
    """A function that sends entries of an execution, each with the position of a viewer that has seen it."""

    async def send(execution: Record, entries: Sequence[Entry], cursor: Cursor) -> None:
        at = cursor.without(execution["position"])
        await stream.send_all(
            [
                (json_entry(entry, beside(execution)).decode(), at(execution["attempt"], entry.after))
                for entry in entries
            ]
        )

    return send


def api(routes: LogRoutes) -> Api:
    """The route."""
    api = Api(tag="jobs")
    api.get(
        "/api/v1/jobs/{id}/logs",
        summary="Show a job's output",
        query=JobLogQuery,
        answers={200: Answer(JobLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain` (the bytes that the commands wrote, both streams in the order of arrival, one "
            "execution after the other), or live as `text/event-stream` until the job is over, by the `Accept` header. "
            "A live stream sends the output of all running steps in the order of arrival: one line, or one piece of a "
            "line, per event. It resumes after `Last-Event-ID`, and closes with an event named `end`. Where output is "
            "missing, a line of the stream `system` reports it. `from_line`, `limit`, `tail` and `q` choose a part. "
            "With `follow=false`, the stream has the output so far, in the order of `text/plain`, and ends."
        ),
    )(routes.get_job_logs)
    return api


def is_chosen(execution: Record, query: JobLogQuery) -> bool:
    """Whether a query names an execution, or none."""
    wanted = (query.step, query.attempt, query.index, query.execution_id)
    has = (execution["task"], execution["attempt"], execution["index"], execution["id"])
    return all(one is None or one == other for one, other in zip(wanted, has, strict=True))


def _file(job_id: str, query: JobLogQuery) -> str:
    """The name of a file with the text."""
    chosen = [part for part in (query.step, query.index, query.attempt, query.execution_id) if part is not None]
    return _UNSAFE.sub("_", "-".join(["job", job_id, *(str(part) for part in chosen)])) + ".log"


def beside(execution: Record) -> dict[str, object]:
    """The fields that each line has besides its own: those of its execution."""
    of_matrix = {} if execution["index"] is None else {name: execution[name] for name in ("matrix", "index")}
    own = {"task": execution["task"], "attempt": execution["attempt"], "execution_id": execution["id"]}
    return {**own, **of_matrix}
