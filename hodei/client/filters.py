"""The filters of each list: the query parameters of its route, with their types.

A filter that is None is not sent. Of a list of labels, items must have all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

from schemas.access import Role
from schemas.rest.audit import AuditOutcome
from schemas.rest.pipelines import PipelineStatus
from schemas.specs import Priority
from schemas.states import ExecutionStatus, JobStatus, Reason, ScheduleStatus, WorkerProcessStatus, WorkerStatus


class PageFilters(TypedDict, total=False):
    """`limit` is the most items that a list yields, `page_size` the number requested at once."""

    limit: int | None
    page_size: int | None


class JobSelectionFilters(TypedDict, total=False):
    """Which jobs are meant; `JobFilters` are those of a list."""

    status: JobStatus | str | Sequence[JobStatus | str] | None
    """One, or several: jobs with any of them."""
    name: str | None
    """The whole name or, with a `*` at the end, its beginning; the same holds for pipelines, schedules and workers."""
    label: Sequence[str] | None
    """Each is KEY=VALUE."""
    parameter: Sequence[str] | None
    """Each is KEY=VALUE."""
    reason: Reason | str | None
    priority: Priority | None
    pipeline: str | None
    """The id or the name of a pipeline."""
    pipeline_id: str | None
    pipeline_version: int | None
    rerun_of: str | None
    schedule_id: str | None
    concurrency_key: str | None
    short_id: str | None
    created_by: str | None
    """The id or the name of a token; the same holds for all filters that end in `_by`."""
    cancelled_by: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None
    finished_after: datetime | str | None
    finished_before: datetime | str | None


class JobFilters(PageFilters, JobSelectionFilters, total=False):
    """The filters of the list of jobs."""


class LogBeginning(TypedDict, total=False):
    """Where a live stream of output begins: at a line, at a time, or with the last lines."""

    from_line: int | None
    since: datetime | None
    tail: int | None


class LogPart(LogBeginning, total=False):
    """A part of an output (docs/logs.md)."""

    limit: int | None
    q: str | None
    case: Literal["ignore", "match"] | None
    stream: Literal["stdout", "stderr"] | None


class ExecutionsOfJob(TypedDict, total=False):
    """The executions of a job of which output is meant."""

    step: str | None
    attempt: int | None
    index: int | None
    execution_id: str | None


class JobLogBeginning(LogBeginning, ExecutionsOfJob, total=False):
    """Where a live stream of these executions begins."""


class JobLogPart(LogPart, ExecutionsOfJob, total=False):
    """A part of the output of these executions. All but `tail` need a single one."""


class ConcurrencyFilters(PageFilters, total=False):
    key: str | None


class PipelineFilters(PageFilters, total=False):
    status: PipelineStatus | None
    name: str | None
    version: int | None
    created_by: str | None
    updated_by: str | None


class PipelineVersionFilters(PageFilters, total=False):
    updated_by: str | None


class ScheduleFilters(PageFilters, total=False):
    status: ScheduleStatus | str | None
    name: str | None
    job_id: str | None
    pipeline_id: str | None
    created_by: str | None


class QueueFilters(PageFilters, total=False):
    name: str | None
    job_id: str | None
    priority: Priority | None
    attempt: int | None
    requires: Sequence[str] | None
    """Each is KEY=VALUE."""
    label: Sequence[str] | None
    """Each is KEY=VALUE: a label of the step."""


class RegisteredWorkerFilters(PageFilters, total=False):
    status: WorkerStatus | str | None
    name: str | None
    type: str | None
    label: Sequence[str] | None
    """Each is KEY=VALUE."""
    has_agent: bool | None
    drained: bool | None
    drained_by: str | None
    reserved_for: str | None


class ManagedWorkerFilters(PageFilters, total=False):
    status: WorkerProcessStatus | str | None
    name: str | None
    type: str | None
    label: Sequence[str] | None
    """Each is KEY=VALUE."""
    provider: str | None
    created_by: str | None


class ExecutionFilters(PageFilters, total=False):
    status: ExecutionStatus | str | None
    reason: Reason | str | None
    exit_code: int | None
    attempt: int | None
    job_id: str | None
    task_id: str | None
    worker_id: str | None
    worker_name: str | None
    label: Sequence[str] | None
    """Each is KEY=VALUE: a label of the step."""
    created_by: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None


class DeadLetterFilters(PageFilters, total=False):
    consumer: str | None
    event_type: str | None
    entity_id: str | None
    job_id: str | None


class TokenFilters(PageFilters, total=False):
    name: str | None
    role: Role | str | None
    state: Literal["active", "expired", "revoked"] | None


class JoinTokenFilters(PageFilters, total=False):
    name: str | None
    created_by: str | None
    state: Literal["active", "used", "expired", "revoked"] | None


class EnrolmentFilters(PageFilters, total=False):
    join_token_id: str | None
    state: Literal["active", "expired", "revoked"] | None


class CredentialsFilters(PageFilters, total=False):
    name: str | None
    created_by: str | None
    state: Literal["active", "expired", "revoked"] | None


class AuditFilters(PageFilters, total=False):
    by: str | None
    """The id or the name of a token."""
    entity_id: str | None
    outcome: AuditOutcome | str | None
    address: str | None
    method: str | None
    route: str | None
    request_id: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None


class EventFilters(TypedDict, total=False):
    types: Sequence[str] | None
    """Each is a type, such as `jobs.failed`, or `jobs.*`."""
    job_id: str | None
    worker_id: str | None
    since: datetime | str | None
    follow: bool | None
