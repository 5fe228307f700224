"""Numbers over REST: jobs by status, jobs over time, and the runs of a pipeline."""

from datetime import UTC, datetime, timedelta
from typing import Final, Self

from pydantic import Field, model_validator

from schemas.model import Id, Model, Timestamp
from schemas.states import JobStatus, Reason

MOST_BUCKETS: Final = 1000
DAY: Final = 86_400


class JobCounts(Model):
    """How many jobs there are."""

    counts: dict[JobStatus, int] = Field(description="The number of jobs by status; each status is there.")
    total: int = Field(description="The number of all jobs.")


class ThroughputQuery(Model):
    since: Timestamp | None = Field(
        None, description="From this time on, in the past 90 days; by default for the last 24 hours."
    )
    step: int = Field(
        900,
        ge=60,
        le=DAY,
        multiple_of=60,
        description="The length of a bucket in seconds, a multiple of 60. There are at most 1,000 buckets.",
    )

    def start(self) -> datetime:
        """The time from which on is counted."""
        return self.since or datetime.now(UTC) - timedelta(days=1)

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        buckets = (datetime.now(UTC) - self.start()).total_seconds() / self.step
        if buckets > MOST_BUCKETS:
            raise ValueError(f"step: there would be {buckets:,.0f} buckets, and {MOST_BUCKETS:,} are the most")
        return self


class ThroughputBucket(Model):
    """What happened in one span of time."""

    at: Timestamp = Field(description="The beginning of the bucket, a multiple of its length.")
    created: int = Field(description="How many jobs were accepted.")
    succeeded: int = Field(description="How many jobs succeeded.")
    failed: int = Field(description="How many jobs failed.")
    cancelled: int = Field(description="How many jobs were cancelled.")


class JobThroughput(Model):
    """Jobs over time. A job that is deleted later still counts."""

    step: int = Field(description="The length of a bucket in seconds.")
    buckets: list[ThroughputBucket] = Field(description="The buckets up to now, the oldest first, empty ones included.")


class StatisticsQuery(Model):
    limit: int = Field(30, ge=1, le=1000, description="How many of the last runs are looked at.")


class PipelineRun(Model):
    """One run of a pipeline, in short."""

    id: Id = Field(description="The job's id.")
    status: JobStatus = Field(description="The job's status.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    created_at: Timestamp = Field(description="When it was accepted.")
    started_at: Timestamp | None = Field(description="When its first process started.")
    finished_at: Timestamp | None = Field(description="When it ended.")
    duration: float | None = Field(
        description="From its start to its end, in seconds; null before, and without a start."
    )


class PipelineStatistics(Model):
    """The last runs of a pipeline."""

    pipeline_id: Id = Field(description="The pipeline's id.")
    runs: list[PipelineRun] = Field(description="The last runs, of all versions, the newest first.")
    counted: int = Field(description="How many of these runs have ended.")
    success_rate: float | None = Field(
        description="Of those that succeeded or failed, the share that succeeded; null if there are none."
    )
    mean: float | None = Field(description="The mean duration of those that succeeded, in seconds.")
    p95: float | None = Field(description="The duration that 95 % of those that succeeded did not exceed, in seconds.")
