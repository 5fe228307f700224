"""`hodei explain`: why a job or a task waits, where it runs, or how it ended.

The scheduler explains tasks; a job is explained by its tasks.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer

from hodei.asking import with_client
from hodei.client import ApiError, Client
from hodei.completing import job_ids
from hodei.escapes import escaped
from hodei.ids import SHOWN_AT_MOST, NoSuchId, whole_id
from hodei.views import task_title
from schemas.rest.jobs import JobDetail
from schemas.rest.schedules import Explanation
from schemas.states import TASK, JobStatus

MOST_TASKS: Final = 100
"""The most tasks of one job that are explained."""
MOST_JOBS: Final = 100
"""The most unfinished jobs of each state that are searched for a task by the last characters of its id."""


def explain(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            autocompletion=job_ids,
            help="The id of a job or task, or its last 8 characters (for a task only until it ends).",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per task and line.")] = False,
) -> None:
    """Explain why a job or a task waits, where it runs, or how it ended.

    For a job, every unfinished task is explained. A task that waits is followed by why each worker cannot take it;
    tasks of one job that wait for the same have these lines once.
    """

    async def ask(client: Client) -> int:
        found = await _find(client, id)
        if isinstance(found, Explanation):
            print(found.model_dump_json() if as_json else escaped(_in_words(found)))
        else:
            await _explain_job(client, found, as_json=as_json)
        return 0

    raise typer.Exit(with_client(ask))


async def _find(client: Client, text: str) -> JobDetail | Explanation:
    """The job with the id `text`, or the explanation of the task with that id. Raises NoSuchId and ClientError."""
    id = await whole_id("job or task", text, _candidates(client, text.strip().lower()))
    for look in (client.job, client.explain):
        try:
            return await look(id)
        except ApiError as error:
            if error.status != 404:
                raise
    raise NoSuchId(f"there is no job or task {id}")


async def _candidates(client: Client, short: str) -> AsyncIterator[tuple[str, str]]:
    """Jobs whose id ends with `short`; if there is none, such tasks of the newest unfinished jobs."""
    no_job = True
    async for job in client.jobs(short_id=short, limit=SHOWN_AT_MOST):
        no_job = False
        yield job.id, f"job {job.name}, {job.status.value}"
    for status in (JobStatus.RUNNING, JobStatus.PENDING) if no_job else ():
        async for job in client.jobs(status=status.value, limit=MOST_JOBS):
            for task in (await client.job(job.id)).tasks:
                yield task.id, f"task {task_title(task)} of job {job.id}"


async def _explain_job(client: Client, job: JobDetail, *, as_json: bool) -> None:
    if job.key_wait is not None and not as_json:  # the same is true of each of its tasks
        print(escaped(f"job {job.id} {job.key_wait.summary}"))
        return
    unfinished = [task for task in job.tasks if not TASK.is_final(task.status)]
    if not unfinished and not as_json:
        print(f"job {job.id} {job.status.value}" + (f": {escaped(job.detail)}" if job.detail else ""))
    tasks = unfinished or job.tasks
    shown: set[tuple[str, ...]] = set()
    for task in tasks[:MOST_TASKS]:
        told = await client.explain(task.id)
        if as_json:
            print(told.model_dump_json())
            continue
        details = _details(told)
        new = [] if tuple(details) in shown else details
        shown.add(tuple(details))
        print(escaped("\n".join([f"{task_title(task)}: {told.summary}", *new])))
    if len(tasks) > MOST_TASKS:
        typer.echo(f"hodei: {len(tasks) - MOST_TASKS} more tasks are not shown", err=True)


def _in_words(told: Explanation) -> str:
    return "\n".join([told.summary, *_details(told)])


def _details(told: Explanation) -> list[str]:
    """What each worker says to the task, a line each."""
    said = [f"  worker {one.name} ({one.worker_id}) {one.refusal or 'could take it'}" for one in told.workers]
    return said + [f"  each of {group.count} more {group.refusal or 'could take it'}" for group in told.others]
