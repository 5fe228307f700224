"""`hodei jobs | executions | queue | concurrency`: the platform's lists, with filters.

The other lists (pipelines, schedules, workers, dead letters) are in the modules of these names, beside their other
commands.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from hodei import usage
from hodei.asking import show_list, with_client
from hodei.client import Client
from hodei.client.filters import ConcurrencyFilters, ExecutionFilters, JobFilters, QueueFilters
from hodei.completing import job_ids, pipeline_ids, worker_ids
from hodei.ids import pipeline_filter, whole_job_id, whole_worker_id
from hodei.options import (
    AsJson,
    Beginning,
    CreatedAfter,
    CreatedBefore,
    CreatedBy,
    Label,
    Limit,
    Name,
    OfJob,
    OfPriority,
    OfReason,
    StepLabel,
    check,
)
from hodei.tables import Columns, cut_cell, id_cell, moment_cell, print_columns
from hodei.views import JOB_COLUMNS, by_column, duration, labels_text, print_jobs, status_text
from schemas.matrix import title
from schemas.rest.concurrency import ConcurrencyKey
from schemas.rest.executions import ExecutionQuery, ManagedExecution
from schemas.rest.job_filters import JobQuery
from schemas.rest.jobs import Job
from schemas.rest.schedules import QueuedTask, QueueQuery
from schemas.states import ExecutionStatus, JobStatus


def jobs(
    status: Annotated[
        list[JobStatus] | None, typer.Option(help="Only those with this status; may be repeated: with any of them.")
    ] = None,
    name: Beginning = None,
    label: Label = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="Only those with this parameter, KEY=VALUE; may be repeated.")
    ] = None,
    reason: OfReason = None,
    priority: OfPriority = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            autocompletion=pipeline_ids,
            help="Only those of this pipeline: its name, its id, or the last 8 characters of its id.",
        ),
    ] = None,
    pipeline_version: Annotated[int | None, typer.Option(help="Only those of this version of the pipeline.")] = None,
    rerun_of: Annotated[
        str | None,
        typer.Option(
            metavar="JOB", autocompletion=job_ids, help="Only reruns of this job: its id or its last 8 characters."
        ),
    ] = None,
    schedule: Annotated[str | None, typer.Option(metavar="ID", help="Only those that this schedule created.")] = None,
    concurrency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only those with exactly this concurrency key.")
    ] = None,
    created_by: CreatedBy = None,
    cancelled_by: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Only those whose cancellation this token requested: its name or its id."),
    ] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    finished_after: Annotated[
        datetime | None,
        typer.Option(parser=usage.moment, metavar="TIME", help="Only those that ended at this time or later."),
    ] = None,
    finished_before: Annotated[
        datetime | None,
        typer.Option(parser=usage.moment, metavar="TIME", help="Only those that ended before this time."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help=f"The columns of the table, of {', '.join(JOB_COLUMNS)}."),
    ] = None,
    limit: Limit = 20,
    counts: Annotated[
        bool, typer.Option("--counts", help="Print how many jobs have each status, in place of the list.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    chosen = columns_of(columns)
    filters: JobFilters = {
        "status": status,
        "name": name,
        "label": label,
        "parameter": parameter,
        "reason": reason,
        "priority": priority,
        "pipeline": pipeline,
        "pipeline_version": pipeline_version,
        "rerun_of": rerun_of,
        "schedule_id": schedule,
        "concurrency_key": concurrency_key,
        "created_by": created_by,
        "cancelled_by": cancelled_by,
        "created_after": created_after,
        "created_before": created_before,
        "finished_after": finished_after,
        "finished_before": finished_before,
        "limit": limit,
    }
    check(JobQuery, filters)
    if counts:
        if any(value is not None for name, value in filters.items() if name != "limit"):
            raise typer.BadParameter("--counts is about all jobs, and takes no filters")
        raise typer.Exit(with_client(partial(_print_counts, as_json=as_json)))

    async def find(client: Client) -> list[Job]:
        if rerun_of is not None:
            filters["rerun_of"] = await whole_job_id(client, rerun_of)
        filters["pipeline"] = await pipeline_filter(client, pipeline)
        return [one async for one in client.jobs(**filters)]

    show_list(find, partial(print_jobs, columns=chosen), as_json=as_json)


def columns_of(text: str | None) -> list[str]:
    """The names of columns in an option, empty without it. Raises BadParameter."""
    names = [name.strip().upper() for name in text.split(",")] if text is not None else []
    for name in names:
        if name not in JOB_COLUMNS:
            raise typer.BadParameter(f"{name!r}: should be of {', '.join(JOB_COLUMNS)}", param_hint="'--columns'")
    return names


async def _print_counts(client: Client, *, as_json: bool) -> int:
    found = await client.job_counts()
    if as_json:
        print(found.model_dump_json())
    else:
        numbers = {**{status.value: count for status, count in found.counts.items()}, "total": found.total}
        print_columns(
            {"STATUS": list(numbers), "JOBS": [str(count) for count in numbers.values()]}, shorten="STATUS", drop=()
        )
    return 0


def executions(
    status: Annotated[ExecutionStatus | None, typer.Option(help="Only those with this status.")] = None,
    reason: OfReason = None,
    exit_code: Annotated[int | None, typer.Option(help="Only those with this exit code.")] = None,
    attempt: Annotated[int | None, typer.Option(help="Only those with this attempt number.")] = None,
    job: OfJob = None,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this task.")] = None,
    worker: Annotated[
        str | None,
        typer.Option(autocompletion=worker_ids, help="Only those on this worker: its id or its last 8 characters."),
    ] = None,
    worker_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those on workers with exactly this name.")
    ] = None,
    label: StepLabel = None,
    created_by: CreatedBy = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first: which attempt ran on which worker, and how it ended."""
    filters: ExecutionFilters = {
        "status": status,
        "reason": reason,
        "exit_code": exit_code,
        "attempt": attempt,
        "job_id": job,
        "task_id": task,
        "worker_id": worker,
        "worker_name": worker_name,
        "label": label,
        "created_by": created_by,
        "created_after": created_after,
        "created_before": created_before,
        "limit": limit,
    }
    check(ExecutionQuery, filters)

    async def find(client: Client) -> list[ManagedExecution]:
        if job is not None:
            filters["job_id"] = await whole_job_id(client, job)
        if worker is not None:
            filters["worker_id"] = await whole_worker_id(client, worker)
        return [one async for one in client.executions(**filters)]

    show_list(find, print_executions, as_json=as_json)


def queue(
    name: Name = None,
    job: OfJob = None,
    priority: OfPriority = None,
    attempt: Annotated[int | None, typer.Option(help="Only those whose waiting attempt has this number.")] = None,
    requires: Annotated[
        list[str] | None,
        typer.Option(help="Only those that require this label of their worker, KEY=VALUE; may be repeated."),
    ] = None,
    label: StepLabel = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List the tasks that wait for a worker, in the order in which they would be placed."""
    filters: QueueFilters = {
        "name": name,
        "job_id": job,
        "priority": priority,
        "attempt": attempt,
        "requires": requires,
        "label": label,
        "limit": limit,
    }
    check(QueueQuery, filters)

    async def find(client: Client) -> list[QueuedTask]:
        if job is not None:
            filters["job_id"] = await whole_job_id(client, job)
        return [one async for one in client.queue(**filters)]

    show_list(find, print_queue, as_json=as_json)


def concurrency(
    key: Annotated[str | None, typer.Option(help="Only exactly this key.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List the concurrency keys that jobs hold or wait for."""
    filters: ConcurrencyFilters = {"key": key, "limit": limit}

    async def find(client: Client) -> list[ConcurrencyKey]:
        return [one async for one in client.concurrency_keys(**filters)]

    show_list(find, print_keys, as_json=as_json)


def print_keys(keys: Sequence[ConcurrencyKey]) -> None:
    """Print concurrency keys, a line each, with the job that has held each of them longest."""
    columns: Columns = {
        "KEY": [one.key for one in keys],
        "LIMIT": [str(one.limit) for one in keys],
        "HOLDING": [str(one.holding) for one in keys],
        "WAITING": [str(one.waiting) for one in keys],
        "SINCE": [moment_cell(one.waiting_since) for one in keys],
        "HELD BY": [id_cell(one.holders[0].job_id if one.holders else None) for one in keys],
    }
    print_columns(columns, shorten="KEY", drop=("SINCE", "LIMIT"))


def print_executions(executions: Sequence[ManagedExecution]) -> None:
    """Print executions, a line each. A worker without a known name is shown by its id."""
    columns: Columns = {
        "ID": [id_cell(one.id) for one in executions],
        "STATUS": [status_text(one.status.value, one.reason) for one in executions],
        "EXIT": ["" if one.exit_code is None else str(one.exit_code) for one in executions],
        "WORKER": [id_cell(one.worker_name or one.worker_id) for one in executions],
        "JOB": [id_cell(one.job_id) for one in executions],
        "ATTEMPT": [str(one.attempt) for one in executions],
        "CREATED": [moment_cell(one.created_at) for one in executions],
        "DURATION": [duration(one.started_at, one.finished_at) for one in executions],
        **by_column([one.created_by for one in executions]),
    }
    print_columns(columns, shorten="WORKER", drop=("BY", "ATTEMPT", "DURATION", "CREATED", "JOB", "EXIT"))


def print_queue(tasks: Sequence[QueuedTask]) -> None:
    """Print tasks that wait, a line each."""
    columns: Columns = {
        "TASK": [id_cell(one.task_id) for one in tasks],
        "POSITION": [str(one.position) for one in tasks],
        "NAME": [title(one.name, one.matrix) for one in tasks],
        "JOB": [id_cell(one.job_id) for one in tasks],
        "PRIORITY": [one.priority for one in tasks],
        "ATTEMPT": [str(one.attempt) for one in tasks],
        "REQUIRES": [cut_cell(labels_text(one.requires)) for one in tasks],
        "QUEUED": [moment_cell(one.queued_at) for one in tasks],
    }
    print_columns(columns, shorten="NAME", drop=("ATTEMPT", "JOB", "PRIORITY", "QUEUED", "REQUIRES"))
