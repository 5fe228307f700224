"""Which jobs a request means: the filters of the list, of deletions, and of what is done with many jobs at once."""

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from schemas import words
from schemas.model import Id, Model, OrDefault, Timestamp
from schemas.rest.jobs import FROM_START, StepName
from schemas.rest.lists import LabelFilters, NameFilter, PageQuery, Who, check_pairs, pairs
from schemas.specs import LabelFilter, Priority
from schemas.states import JOB, JobStatus, Reason


def _apart(given: object) -> object:
    """The statuses in `failed,cancelled`, which may be repeated."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        return [status for one in given for status in one.split(",")]
    return given


def _without_nulls(given: object) -> object:
    """A filter of a script whose variable is not set must not become all jobs."""
    for name, value in given.items() if isinstance(given, dict) else ():
        if value is None:
            raise ValueError(f"{name} is null: leave it out, or give a value")
    return given


class JobFilter(LabelFilters):
    """Which jobs are meant: they must match all filters that are given."""

    status: Annotated[list[JobStatus] | None, BeforeValidator(_apart)] = Field(
        None,
        min_length=1,
        max_length=20,
        description="Only jobs with this status. May be repeated, or written with commas (`failed,cancelled`): jobs "
        "with any of them.",
    )
    pipeline_id: str | None = Field(None, description="Only jobs of this pipeline.")
    pipeline: str | None = Field(None, max_length=1000, description="Only jobs of this pipeline: its id or its name.")
    name: NameFilter = Field(
        None, description="Only jobs with exactly this name or, with a `*` at the end, whose names begin with it."
    )
    priority: Priority | None = Field(None, description="Only jobs with this priority.")
    rerun_of: str | None = Field(None, description="Only reruns of this job.")
    schedule_id: str | None = Field(None, description="Only jobs that this schedule created.")
    concurrency_key: str | None = Field(None, description="Only jobs with exactly this concurrency key.")
    parameter: list[LabelFilter] | None = Field(
        None,
        min_length=1,
        max_length=64,
        examples=[["env=prod"]],
        description="Only jobs with this parameter, as KEY=VALUE; the value as it is shown. May be repeated: jobs must "
        "have all of them. Parameters that look like secrets are not found.",
    )
    reason: Reason | None = Field(None, description="Only jobs with this reason.")
    pipeline_version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Only jobs of this version of the pipeline."
    )
    short_id: str | None = Field(
        None, pattern=words.ID_TAIL, description="Only jobs whose id ends with these 8 characters."
    )
    created_by: Who = Field(None, description="Only jobs that this token submitted: its id or its name.")
    cancelled_by: Who = Field(
        None, description="Only jobs whose cancellation this token requested: its id or its name."
    )
    created_after: Timestamp | None = Field(None, description="Only jobs accepted at this time or later.")
    created_before: Timestamp | None = Field(None, description="Only jobs accepted before this time.")
    finished_after: Timestamp | None = Field(None, description="Only jobs that ended at this time or later.")
    finished_before: Timestamp | None = Field(None, description="Only jobs that ended before this time.")

    def parameters(self) -> dict[str, str]:
        """The parameters that a job must have."""
        return pairs(self.parameter)

    @model_validator(mode="after")
    def _no_two_parameters(self) -> Self:
        check_pairs("parameter", self.parameter)
        return self


class JobQuery(JobFilter, PageQuery):
    """A page of the jobs that match."""


class JobDeletion(Model):
    """Which of the jobs that ended are deleted."""

    before: Timestamp | None = Field(None, description="Only jobs that ended before this time. Required.")
    finished_before: Timestamp | None = Field(None, description="An earlier name of `before`, in its place.")
    status: JobStatus | None = Field(None, description="Only jobs with this status; by default all that ended.")
    label: list[LabelFilter] | None = Field(
        None,
        max_length=64,
        description="Only jobs with this label, as KEY=VALUE. May be repeated: jobs must have all of them.",
    )
    limit: int = Field(
        1000, ge=1, le=1000, description="The most jobs to delete in this request; the oldest are deleted first."
    )
    dry_run: bool = Field(
        False, description="Delete nothing, and answer how many jobs match, whatever the `limit`: 100,000 at the most."
    )

    @property
    def ended_before(self) -> Timestamp:
        """The time before which the jobs ended."""
        moment = self.before or self.finished_before
        assert moment is not None  # checked below
        return moment

    def labels(self) -> dict[str, str]:
        """The labels that a job must have."""
        return pairs(self.label)

    @model_validator(mode="after")
    def _over(self) -> Self:
        if (self.before is None) == (self.finished_before is None):
            raise ValueError("before: is required" if self.before is None else "before: is given under two names")
        if self.status is not None and not JOB.is_final(self.status):
            raise ValueError(f"status: a job that is {self.status.value} is not deleted; cancel it first, or wait")
        check_pairs("label", self.label)
        return self


class JobsDeleted(Model):
    """The result of a deletion."""

    deleted: int = Field(
        description="How many jobs were deleted, together with their logs; with `dry_run`, how many match."
    )
    kept: int = Field(
        0,
        description="How many jobs match and were not deleted, because a schedule will run them again; with `dry_run`, "
        "they are not counted apart.",
    )
    more: bool = Field(description="Whether more jobs may match: if so, repeat the request.")
    dry_run: bool = Field(False, description="Whether nothing was deleted, because the request was a trial.")


class JobSelection(Model):
    """Many jobs: those of `ids`, or those that match `filter`, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"status": ["failed"], "label": ["team=web"]}, "dry_run": True}]}
    )

    ids: list[Id] | None = Field(None, min_length=1, max_length=1000, description="The ids of the jobs.")
    filter: Annotated[JobFilter | None, BeforeValidator(_without_nulls)] = Field(
        None, description="The filters of `GET /api/v1/jobs`, in place of `ids`; without any, all jobs. None is null."
    )
    limit: int = Field(1000, ge=1, le=1000, description="The most jobs of a `filter` that this request looks at.")
    cursor: str | None = Field(
        None, max_length=500, description="The `cursor` of the response before, to go on with the same `ids` or filter."
    )
    dry_run: bool = Field(
        False,
        description="Change nothing, and answer how many jobs would be changed, as far as that is known before: of "
        "`ids`, `refused` has the others; of a `filter`, it is the number of jobs that match and that the caller may "
        "change, 100,000 at the most.",
    )

    @model_validator(mode="after")
    def _ids_or_filter(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("exactly one of ids and filter is needed")
        return self


class JobRerunSelection(JobSelection):
    """Many jobs that have ended, to run again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filter": {"status": ["failed"]}, "from": "failed"}]})

    ids: list[Id] | None = Field(None, min_length=1, max_length=100, description="The ids of the jobs.")
    limit: int = Field(100, ge=1, le=100, description="The most jobs of a `filter` that this request looks at.")
    from_: OrDefault[StepName] = Field(
        FROM_START, alias="from", description="`start`, `failed` or a step's name, as for a rerun of one job."
    )


class RefusedJob(Model):
    """A job that was left as it is."""

    id: Id = Field(description="The job's id.")
    detail: str = Field(description="Why, in words.")


class JobsChanged(Model):
    """What became of many jobs."""

    matched: int = Field(
        description="How many jobs this request looked at, or, with `dry_run`, how many in all would be changed."
    )
    done: int = Field(description="How many of them were changed; 0 with `dry_run`.")
    refused: list[RefusedJob] = Field(description="Those that were not, and why.")
    more: bool = Field(
        description="Whether there may be more jobs: if so, repeat the request with the `cursor`. With `dry_run`, "
        "whether more may match than were counted."
    )
    cursor: str | None = Field(None, description="Where to go on; null when there are no more.")
    ids: list[Id] = Field(default_factory=list, description="The new jobs of a rerun, in the order of `done`.")
