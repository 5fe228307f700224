"""The command line: parsing and exit codes.

Exit codes: 0 success, 1 the platform refused or failed, 2 wrong usage or a wrong setting. `run`, `wait` and
`rerun --follow` exit with the command's own code, or as timeout(1), env(1) and shells do: 124 out of time, 125 hodei
itself failed, 126 not executable, 127 not found, 128 + N after signal N.
"""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from hodei import (
    completing,
    enrolment,
    lists,
    manual,
    pipelines,
    schedules,
    standard_streams,
    stdin,
    tokens,
    usage,
    workers,
)
from hodei.approvals import approvals, approve, reject
from hodei.asking import with_client
from hodei.audit import audit
from hodei.bulk import cancel, delete, jobs_in_words, rerun
from hodei.client import Client, ClientError
from hodei.completing import completion
from hodei.dead_letters import app as dead_letters
from hodei.doctor import doctor, version
from hodei.events import events
from hodei.explain import explain
from hodei.ids import whole_job_id
from hodei.jobs import priority, wait
from hodei.leading_options import leading_options
from hodei.login import login, logout, whoami
from hodei.logs import logs
from hodei.opening import open_
from hodei.options import OwnKey, OwnLimit, OwnWhenFull, concurrency_of
from hodei.starting import demo, up, worker
from schemas.states import JobStatus


class FinalStatus(StrEnum):
    """The final states of a job."""

    SUCCEEDED = JobStatus.SUCCEEDED.value
    FAILED = JobStatus.FAILED.value
    CANCELLED = JobStatus.CANCELLED.value


RUN_OPTIONS: Final = {
    "command": "COMMAND",
    "name": "--name",
    "params": "--param",
    "env": "--env",
    "labels": "--label",
    "requires": "--requires",
    "priority": "--priority",
    "timeout": "--timeout",
    "queue_timeout": "--queue-timeout",
    "working_dir": "--working-dir",
    "retry": "--attempts",
    "concurrency_key": "--concurrency-key",
}
"""The option of `hodei run` for each field of a job."""

app = typer.Typer(
    name="hodei",
    cls=usage.CommandLine,
    help="Run commands, as single jobs or as pipelines, on many machines, and see what happened.",
    epilog="Example: hodei run -- echo hello. If something does not work: hodei doctor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(leading_options)
app.add_typer(dead_letters)

app.add_typer(tokens.app, name="tokens")
app.add_typer(workers.app, name="workers")
app.add_typer(enrolment.credentials, name="credentials")
app.add_typer(pipelines.app, name="pipelines")
app.add_typer(schedules.app, name="schedules")
app.command()(login)
app.command()(logout)
app.command()(whoami)
app.command()(audit)
app.command()(explain)
app.command()(approvals)
app.command()(approve)
app.command()(reject)
app.command()(cancel)
app.command()(rerun)
app.command()(priority)
app.command()(delete)
app.command()(wait)
app.command()(logs)
app.command()(events)
app.command()(doctor)
app.command()(version)
app.command()(completion)
app.command()(up)
app.command()(demo)
app.command()(worker)
app.command("open")(open_)


def main() -> None:
    """The console script."""
    completing.prepare()
    with standard_streams.prepared():
        app()


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str],
        typer.Argument(
            help="One argument: a line for /bin/sh. Several: a program and its arguments, preferably after --."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The job's name.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", "-e", help="An environment variable, NAME=VALUE; NAME alone passes on its value from here."
        ),
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A label of the job, KEY=VALUE.")] = None,
    requires: Annotated[list[str] | None, typer.Option(help="A label that the worker must have, KEY=VALUE.")] = None,
    priority: Annotated[str, typer.Option(help="The job's priority: low, normal, high or critical.")] = "normal",
    timeout: Annotated[float | None, typer.Option(help="Time limit of one attempt, in seconds.")] = None,
    queue_timeout: Annotated[
        float | None, typer.Option(help="How long the job may wait for a worker, in seconds.")
    ] = None,
    working_dir: Annotated[
        str | None,
        typer.Option(
            "--working-dir", "--workdir", help="The working directory on the worker; by default a new, empty folder."
        ),
    ] = None,
    attempts: Annotated[int, typer.Option(help="The most attempts, including the first one.")] = 1,
    concurrency_key: OwnKey = None,
    concurrency_limit: OwnLimit = None,
    when_full: OwnWhenFull = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter of the job, KEY=VALUE; may be repeated.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and exit without waiting for the job.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the job's output, and why it failed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the job as JSON, in place of its output or id.")
    ] = False,
) -> None:
    """Run a command on a worker, show its output, exit with its exit code.

    Ctrl-C cancels the job; a second one leaves it at once.
    """
    from hodei import run as running
    from schemas.rest.jobs import JobCreate

    fields: dict[str, object] = {
        "command": command[0] if len(command) == 1 else command,
        "type": "shell" if len(command) == 1 else "exec",
        "name": name,
        "params": usage.pairs("--param", param or []),
        "env": usage.environment("--env", env or []),
        "labels": usage.pairs("--label", label or []),
        "requires": usage.pairs("--requires", requires or []),
        "priority": priority,
        "timeout": timeout,
        "queue_timeout": queue_timeout,
        "working_dir": working_dir,
        "retry": {"max_attempts": attempts} if attempts != 1 else None,
        "concurrency_key": concurrency_key,
        "concurrency": concurrency_of(concurrency_limit, when_full),
    }
    given = {key: value for key, value in fields.items() if value is not None}
    if "concurrency" in given and concurrency_key is None:
        raise typer.BadParameter("--concurrency-limit and --when-full are about a --concurrency-key")
    job = usage.checked(RUN_OPTIONS, lambda: JobCreate.model_validate(given))

    if stdin.has_input():
        typer.echo("hodei: standard input is not passed on: the command's standard input is empty", err=True)
    raise typer.Exit(
        with_client(
            lambda client: running.run(client, job, detach=detach, quiet=quiet, as_json=as_json),
            failed=running.PLATFORM_FAILED,
        )
    )


for _command in (lists.jobs, lists.executions, lists.queue, lists.concurrency):
    app.command()(_command)


@app.command()
def show(
    job: Annotated[
        str, typer.Argument(autocompletion=completing.job_ids, help="The job's id, or its last 8 characters.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a job runs and requires, the state of its steps, why it waits, and why it did not succeed."""
    from hodei.views import print_job
    from hodei.waiting import why_it_waits

    async def ask(client: Client) -> int:
        found = await client.job(await whole_job_id(client, job))
        if as_json:
            print(found.model_dump_json(by_alias=True))
        else:
            print_job(found, waits=await why_it_waits(client, found))
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="Delete jobs that ended at least this long ago: 90s, 30m, 12h, 30d.")],
    status: Annotated[FinalStatus | None, typer.Option(help="Only jobs with this status.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with this label. May be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing, and print how many would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete jobs that ended long ago, with their logs."""
    before = usage.moment_before("--older-than", older_than, datetime.now(UTC))
    of_status = status and status.value

    async def ask(client: Client) -> int:
        if dry_run:
            found = await client.jobs_to_delete(before=before, status=of_status, label=label)
            more = " or more" if found.more else ""
            print(found.model_dump_json() if as_json else f"would delete {jobs_in_words(found.deleted)}{more}")
        else:
            deleted = 0

            def note(number: int) -> None:
                nonlocal deleted
                deleted = number

            def tell() -> None:
                print(f'{{"deleted":{deleted}}}' if as_json else f"deleted {jobs_in_words(deleted)}", flush=True)

            try:
                await client.delete_jobs(before=before, status=of_status, label=label, progress=note)
            except (ClientError, asyncio.CancelledError):  # neither an error nor Ctrl-C hides what was done before it
                if deleted:
                    tell()
                raise
            tell()
        return 0

    raise typer.Exit(with_client(ask))


manual.document(app)  # the last line: every command is there now
