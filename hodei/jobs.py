"""`hodei priority | wait`: changes the priority of a job, waits for its end."""

import asyncio
from contextlib import suppress
from typing import Annotated, Final

import typer

from hodei import run as running
from hodei.asking import with_client
from hodei.client import Client
from hodei.completing import job_ids
from hodei.escapes import escaped
from hodei.ids import whole_job_id
from hodei.patience import patiently
from schemas.rest.jobs import JobDetail
from schemas.specs import Priority
from schemas.states import JOB

JOB_HELP: Final = "The job's id, or its last 8 characters."


def priority(
    job: Annotated[str, typer.Argument(autocompletion=job_ids, help=JOB_HELP)],
    priority: Annotated[Priority, typer.Argument(help="The new priority.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the job as JSON.")] = False,
) -> None:
    """Change the priority of a job: of its tasks that wait, its later steps and its retries. What runs goes on."""

    async def ask(client: Client) -> int:
        changed = await client.set_priority(await whole_job_id(client, job), priority)
        print(changed.model_dump_json(by_alias=True) if as_json else f"{changed.id}  {changed.priority}")
        return 0

    raise typer.Exit(with_client(ask))


def wait(
    jobs: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", autocompletion=job_ids, help="Ids of jobs, or their last 8 characters."),
    ],
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Wait at most this long, in seconds, then exit with 124.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each job as JSON, one a line.")] = False,
) -> None:
    """Wait until jobs have ended, print how, and exit as 'hodei run' does.

    For several jobs, the exit code is that of the first, in the order given, that did not succeed.
    """

    async def ask(client: Client) -> int:
        job_ids = [await whole_job_id(client, job) for job in jobs]
        deadline = asyncio.get_running_loop().time() + (running.LONGEST if timeout is None else timeout)
        codes = []
        for job_id in job_ids:
            job = await _wait(client, job_id, deadline)
            over = JOB.is_final(job.status)
            codes.append(running.exit_code(job) if over else running.TIMED_OUT)
            if as_json:
                print(job.model_dump_json(by_alias=True), flush=True)
            elif over:
                print(escaped(running.outcome_in_words(job)), flush=True)
            if not over:
                typer.echo(f"hodei: job {job_id} is {job.status.value} at the time limit", err=True)
        return next((code for code in codes if code), 0)

    raise typer.Exit(with_client(ask, failed=running.PLATFORM_FAILED))


async def _wait(client: Client, job_id: str, deadline: float) -> JobDetail:
    """The job as it is at its end, or at `deadline` on the clock of the event loop. Raises ClientError."""
    clock = asyncio.get_running_loop().time
    with suppress(TimeoutError):
        await patiently(lambda: client.wait(job_id, timeout=deadline - clock()))
    return await patiently(lambda: client.job(job_id))
