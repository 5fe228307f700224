"""`hodei rerun | priority | wait`: runs a job again, changes its priority, and waits for the end of jobs."""

import asyncio
from contextlib import suppress
from typing import Annotated, Final

import typer

from hodei import run as running
from hodei.asking import with_client
from hodei.client import Client
from hodei.escapes import escaped
from hodei.ids import whole_job_id
from hodei.patience import patiently
from schemas.rest.jobs import JobDetail
from schemas.specs import Priority
from schemas.states import JOB

JOB_HELP: Final = "The job's id, or its last 8 characters."


def rerun(
    job: Annotated[str, typer.Argument(help=JOB_HELP)],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="failed|STEP",
            help="Run what failed again, or this step, with what depends on it; by default everything.",
        ),
    ] = "start",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the new job as 'hodei run' does.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the output, and why it failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The job as JSON, in place of its id or output.")] = False,
) -> None:
    """Run a job again as a new one, and print its id.

    With --from, the new job keeps what succeeded before, outputs and decisions included.
    """
    if quiet and not follow:
        raise typer.BadParameter("--quiet is for --follow")

    async def ask(client: Client) -> int:
        job_id = await whole_job_id(client, job)
        if follow:
            return await running.rerun(client, job_id, start, quiet=quiet, as_json=as_json)
        new = await client.rerun(job_id, start=start)
        print(new.model_dump_json(by_alias=True) if as_json else new.id)
        return 0

    raise typer.Exit(with_client(ask, failed=running.PLATFORM_FAILED if follow else 1))


def priority(
    job: Annotated[str, typer.Argument(help=JOB_HELP)],
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
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs, or their last 8 characters.")],
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
