"""/api/v1/jobs/{id}/events: the timeline of a job, so far or live."""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from orchestrator.store.jobs import JobStore
from orchestrator.store.timeline import TimelineStore
from orchestrator.watch import Watch
from schemas.rest.jobs import TimelineEvent
from schemas.states import JOB
from shared.web import EVENT_STREAM, Answer, Api, EventStream, json_response

AT_ONCE: Final = 1000
LOOK_AGAIN: Final = 2.0
"""Seconds after which a live stream reads again although it heard of no change."""

EXPIRED: Final = "timeline.expired"
EXPIRED_ID: Final = "0.0"
"""The type and the id of the only entry of a timeline that is no longer kept."""

_EVENT_ID: Final = re.compile(r"^(\d{1,18})\.(\d{1,9})$")


@dataclass(frozen=True, slots=True)
class TimelineRoutes:
    """The handler of the route."""

    jobs: JobStore
    timeline: TimelineStore
    watch: Watch

    async def get_job_events(self, request: web.Request, id: str) -> web.StreamResponse:
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await self._follow(request, id)
        await self.jobs.status(id)
        bodies: list[str] = []
        row, position = 0, 0
        while rows := await self.timeline.after(id, row, position, AT_ONCE):
            bodies += [one.body for one in rows]
            row, position = rows[-1].row, rows[-1].position
            if len(rows) < AT_ONCE:
                break
        if not bodies and (expired := await self.timeline.expired(id)) is not None:
            bodies.append(expired)
        return json_response(f"[{','.join(bodies)}]")

    async def _follow(self, request: web.Request, id: str) -> web.StreamResponse:
        await self.jobs.status(id)
        # Listen before the first read, so that no change in between is missed.
        async with self.watch.steps_of(id) as listener, EventStream(request) as stream:
            found = _EVENT_ID.match(stream.last_event_id or "")
            row, position = (int(found[1]), int(found[2])) if found else (0, 0)
            while True:
                over = JOB.is_final(await self.jobs.status(id))
                rows = await self.timeline.after(id, row, position, AT_ONCE)
                for one in rows:
                    row, position = one.row, one.position
                    await stream.send(one.body, id=f"{row}.{position}", event=one.type)
                if over and len(rows) < AT_ONCE:
                    if row == 0 and (expired := await self.timeline.expired(id)) is not None:
                        await stream.send(expired, id=EXPIRED_ID, event=EXPIRED)
                    await stream.send("{}", event="end")
                    break
                if not rows:
                    await listener.changed(LOOK_AGAIN)
        return stream.response


def api(routes: TimelineRoutes) -> Api:
    """The route."""
    api = Api(tag="jobs")
    api.get(
        "/api/v1/jobs/{id}/events",
        summary="Show a job's timeline",
        answers={200: Answer(list[TimelineEvent], also=(EVENT_STREAM,))},
        description=(
            "As JSON, or live as `text/event-stream`: resumable with `Last-Event-ID`, closed by an event named `end` "
            "once the job is over. A timeline that is no longer kept has one entry, of the type `timeline.expired`."
        ),
    )(routes.get_job_events)
    return api
