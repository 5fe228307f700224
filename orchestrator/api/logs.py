"""/api/v1/jobs/{id}/logs: the output of a job's tasks, complete or live.

Complete logs list the executions one after the other, in the order of their start; live logs follow them at the same
time (`orchestrator.following`). The lines are in JetStream; an execution's row has the number of its chunks.
"""

from dataclasses import dataclass

from aiohttp import web
from pydantic_core import to_json

from orchestrator.following import Cursor, Follower, began, log_of
from orchestrator.store.jobs import JobStore
from orchestrator.watch import Watch
from schemas.rest.jobs import JobLogs
from shared.bus import Bus
from shared.postgres import Record
from shared.transcript import Entries
from shared.web import EVENT_STREAM, Answer, Api, EventStream
from shared.web.logs import PLAIN, Page, json_line, send_logs


@dataclass(frozen=True, slots=True)
class LogRoutes:
    """The handler of the route."""

    jobs: JobStore
    bus: Bus
    watch: Watch

    async def get_job_logs(self, request: web.Request, id: str) -> web.StreamResponse:
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await self._follow(request, id)
        await self.jobs.status(id)
        pages = [
            Page(log_of(one), one["log_truncated"], beside(one)) for one in await self.jobs.executions(id) if began(one)
        ]
        return await send_logs(request, self.bus, pages, name="job_id", owner=id)

    async def _follow(self, request: web.Request, id: str) -> web.StreamResponse:
        await self.jobs.status(id)
        # Listen before the first read, so that no change in between is missed.
        async with self.watch.steps_of(id) as listener, EventStream(request) as stream:

            async def send(execution: Record, entries: Entries, cursor: Cursor) -> None:
                at = cursor.without(execution["position"])
                await stream.send_all(
                    [
                        (json_line(line, beside(execution)).decode(), at(execution["attempt"], place))
                        for line, place in entries
                    ]
                )

            follower = Follower(self.jobs, self.bus, id, listener, Cursor.parse(stream.last_event_id or ""), send)
            await follower.run()
            await stream.send(to_json({"expired": follower.expired}).decode(), event="end")
        return stream.response


def api(routes: LogRoutes) -> Api:
    """The route."""
    api = Api(tag="jobs")
    api.get(
        "/api/v1/jobs/{id}/logs",
        summary="Show a job's output",
        answers={200: Answer(JobLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain` (the bytes that the commands wrote, both streams in the order of arrival, one "
            "execution after the other), or live as `text/event-stream` until the job is over, by the `Accept` header. "
            "A live stream sends the output of all running steps in the order of arrival: one line, or one piece of a "
            "line, per event. It resumes after `Last-Event-ID`, and closes with an event named `end`. Where output is "
            "missing, a line of the stream `system` reports it."
        ),
    )(routes.get_job_logs)
    return api


def beside(execution: Record) -> dict[str, object]:
    """The fields that each line has besides its own: those of its execution."""
    of_matrix = {} if execution["index"] is None else {name: execution[name] for name in ("matrix", "index")}
    own = {"task": execution["task"], "attempt": execution["attempt"], "execution_id": execution["id"]}
    return {**own, **of_matrix}
