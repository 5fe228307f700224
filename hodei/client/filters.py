"""The filters of each list: the query parameters of its route, with their types.

A filter that is None is not sent. Of a list of labels, items must have all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from schemas.rest.pipelines import PipelineStatus
from schemas.specs import Priority
from schemas.states import ExecutionStatus, JobStatus, Reason, ScheduleStatus, WorkerProcessStatus, WorkerStatus


class PageFilters(TypedDict, total=False):
    """`limit` is the most items that a list yields, `page_size` the number requested at once."""

    limit: int | None
    page_size: int | None


class JobFilters(PageFilters, total=False):
    status: JobStatus | str | None
    name: str | None
    label: Sequence[str] | None
    """Each is KEY=VALUE."""
    reason: Reason | str | None
    priority: Priority | None
    pipeline_id: str | None
    pipeline_version: int | None
    rerun_of: str | None
    schedule_id: str | None
    concurrency_key: str | None
    short_id: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None


class ConcurrencyFilters(PageFilters, total=False):
    key: str | None


class PipelineFilters(PageFilters, total=False):
    status: PipelineStatus | None
    name: str | None
    version: int | None


class ScheduleFilters(PageFilters, total=False):
    status: ScheduleStatus | str | None
    name: str | None
    job_id: str | None
    pipeline_id: str | None


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
    reserved_for: str | None


class ManagedWorkerFilters(PageFilters, total=False):
    status: WorkerProcessStatus | str | None
    name: str | None
    type: str | None
    label: Sequence[str] | None
    """Each is KEY=VALUE."""
    provider: str | None


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
    created_after: datetime | str | None
    created_before: datetime | str | None


class DeadLetterFilters(PageFilters, total=False):
    consumer: str | None
    event_type: str | None
    entity_id: str | None
    job_id: str | None
