"""`JobTarget`: what a schedule or a direct execution runs. It is a part of events, not an event."""

from pydantic import Field

from schemas.concurrency import ConcurrencySpec, Overlap
from schemas.model import EventModel
from schemas.params import Scalar
from schemas.specs import CommandSpec, Priority


class JobTarget(EventModel):
    """What a schedule or a direct execution runs: an earlier job again, a pipeline, or one command."""

    job_id: str | None = None
    only_of: str | None = Field(
        None, description="The id of a token: the earlier job must be one that it submitted. Null means any job."
    )
    pipeline_id: str | None = None
    command: CommandSpec | None = None
    name: str | None = None
    priority: Priority = "normal"
    params: dict[str, Scalar] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    concurrency_key: str | None = Field(None, description="The key that limits the job, with its expressions.")
    concurrency: ConcurrencySpec | None = None
    overlap: Overlap | None = Field(
        None, description="What happens to a schedule's job while its former one is not over; null means allow."
    )
