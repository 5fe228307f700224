"""The platform's events over REST: `GET /api/v1/events`."""

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from pydantic import Field, field_validator

from schemas.model import Model, Timestamp
from schemas.subjects import FEED

MOST_TYPES: Final = 64
CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""How far a client's clock may be ahead."""


class FeedEvent(Model):
    """An event as a CloudEvents object, as it is on the feed."""

    position: str = Field(description="Its position in the stream, after which `Last-Event-ID` resumes; opaque.")
    id: str = Field(description="The event's id.")
    source: str = Field(description="What published it: `/hodei/scheduler`, or `/hodei/workers/<id>`.")
    type: str = Field(examples=["hodei.jobs.failed.v1"], description="`hodei.<type>.v<version>`.")
    subject: str = Field(description="The id of the entity that the event is about.")
    time: Timestamp = Field(description="When it happened.")
    data: dict[str, object] = Field(description="Its fields; docs/events.md lists them.")
    traceparent: str | None = Field(None, description="The W3C trace that it belongs to.")
    specversion: str = Field("1.0", description="The version of CloudEvents.")
    datacontenttype: str = Field("application/json", description="The media type of `data`.")

    @property
    def kind(self) -> str:
        """The type without the platform's name and the version: `jobs.failed`."""
        return ".".join(self.type.split(".")[1:3])


class EventQuery(Model):
    """Which events are streamed, and from when on. All filters must match."""

    types: list[str] | None = Field(
        None,
        description=f"Only events of these types, at most {MOST_TYPES}: `jobs.failed`, or `jobs.*`. "
        "Separated by commas, or repeated.",
    )
    job_id: str | None = Field(None, description="Only events about this job, its tasks and its executions.")
    worker_id: str | None = Field(None, description="Only events about this worker, and about what is placed there.")
    since: Timestamp | None = Field(
        None, description="Begin with the first event since this time; by default with the next that happens."
    )
    follow: bool = Field(True, description="Whether to go on when all events so far are sent.")

    @field_validator("types", mode="after")
    @classmethod
    def _known(cls, given: list[str] | None) -> list[str] | None:
        if given is None:
            return None
        patterns = [one.strip() for text in given for one in text.split(",", MOST_TYPES)]
        if len(patterns) > MOST_TYPES:
            raise ValueError(f"at most {MOST_TYPES} types; `jobs.*` stands for all of jobs")
        for pattern in patterns:
            if not any(fnmatchcase(known, pattern) for known in FEED.event_types):
                near = get_close_matches(pattern, FEED.event_types, n=1)
                hint = f"; did you mean {near[0]}?" if near else "; docs/events.md lists them"
                raise ValueError(f"{pattern[:60]!r} is not a type of event{hint}")
        return patterns

    @field_validator("since", mode="after")
    @classmethod
    def _has_been(cls, given: datetime | None) -> datetime | None:
        if given is not None and given > datetime.now(UTC) + CLOCKS_DIFFER:
            raise ValueError("this time is in the future: events begin with the next one if `since` is left out")
        return given

    @field_validator("job_id", "worker_id", mode="after")
    @classmethod
    def _in_lower_case(cls, given: str | None) -> str | None:
        return given and given.lower()

    def event_types(self) -> list[str]:
        """The types that match, all of the feed by default."""
        if self.types is None:
            return list(FEED.event_types)
        return [known for known in FEED.event_types if any(fnmatchcase(known, one) for one in self.types)]
