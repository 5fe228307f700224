"""The command line: parsing and exit codes.

Exit codes: 0 success, 1 the platform refused or failed, 2 wrong usage or a wrong setting. `run`, `wait` and
`rerun --follow` exit with the command's own code, or as timeout(1), env(1) and shells do: 124 out of time, 125 hodei
itself failed, 126 not executable, 127 not found, 128 + N after signal N.
"""

import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter

from hodei import __version__, lists, pipelines, schedules, standard_streams, stdin, usage, workers
from hodei.approvals import approvals, approve, reject
from hodei.asking import with_client
from hodei.client import Client, ClientError
from hodei.closed_pipe import while_read
from hodei.dead_letters import app as dead_letters
from hodei.escapes import escaped
from hodei.explain import explain
from hodei.ids import whole_job_id
from hodei.interpreter import python, service_path
from hodei.jobs import priority, rerun, wait
from hodei.options import OwnKey, OwnLimit, OwnWhenFull, concurrency_of
from schemas.model import Name
from schemas.specs import read_capacity, read_labels
from schemas.states import JobStatus


class FinalStatus(StrEnum):
    """The final states of a job."""

    SUCCEEDED = JobStatus.SUCCEEDED.value
    FAILED = JobStatus.FAILED.value
    CANCELLED = JobStatus.CANCELLED.value


RUN_OPTIONS: Final = {
    "command": "COMMAND",
    "name": "--name",
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
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dead_letters)

app.add_typer(workers.app, name="workers")
app.add_typer(pipelines.app, name="pipelines")
app.add_typer(schedules.app, name="schedules")
app.command()(explain)
app.command()(approvals)
app.command()(approve)
app.command()(reject)
app.command()(rerun)
app.command()(priority)
app.command()(wait)


def main() -> None:
    """The console script."""
    with standard_streams.prepared():
        app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hodei {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def up(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            parser=usage.folder,
            metavar="FOLDER",
            help="The folder for the platform's data; by default HODEI_DATA_DIR or .hodei.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the services' logs.")] = False,
) -> None:
    """Start NATS, PostgreSQL, the three services and a worker; Ctrl-C stops them."""
    from hodei.up import run

    raise typer.Exit(run(data_dir=data_dir, verbose=verbose))


@app.command()
def demo(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            parser=usage.file, metavar="PIPELINE", help="A pipeline as JSON; by default the built-in example."
        ),
    ] = None,
) -> None:
    """Start a temporary platform, run a pipeline, show its live logs, stop everything."""
    from hodei.demo import run

    raise typer.Exit(run(pipeline))


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
        str | None, typer.Option(help="The working directory on the worker; by default a new, empty folder.")
    ] = None,
    attempts: Annotated[int, typer.Option(help="The most attempts, including the first one.")] = 1,
    concurrency_key: OwnKey = None,
    concurrency_limit: OwnLimit = None,
    when_full: OwnWhenFull = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and exit without waiting for the job.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the job's output, and why it failed.")
    ] = False,
) -> None:
    """Run a command on a worker, show its output, exit with its exit code.

    Ctrl-C cancels the job. Exit codes other than the command's own: 124 out of time, 125 hodei itself failed, 126 not
    executable, 127 not found, 128 + N after signal N.
    """
    from hodei import run as running
    from schemas.rest.jobs import JobCreate

    fields: dict[str, object] = {
        "command": command[0] if len(command) == 1 else command,
        "type": "shell" if len(command) == 1 else "exec",
        "name": name,
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
        with_client(lambda client: running.run(client, job, detach=detach, quiet=quiet), failed=running.PLATFORM_FAILED)
    )


for _command in (lists.jobs, lists.executions, lists.queue, lists.concurrency):
    app.command()(_command)


@app.command()
def logs(
    job: Annotated[str, typer.Argument(help="The job's id, or its last 8 characters.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the output until the job ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show a job's output. Exit code 1 means that a part of the output is no longer kept."""
    from hodei.views import Output, write_output
    from schemas.rest.jobs import JobLogLine

    async def show(client: Client) -> int:
        job_id = await whole_job_id(client, job)
        # When several steps are followed, each line begins with the name of its step.
        output = Output(named=follow and not as_json and len((await client.job(job_id)).tasks) > 1)
        expired = False

        async def out(line: JobLogLine) -> None:
            nonlocal expired
            expired = expired or line.remark == "expired"
            if as_json:
                await write_output("stdout", line.model_dump_json(exclude_none=True).encode() + b"\n")
            else:
                await output.show(line)

        if follow:
            try:
                async for line in client.follow_logs(job_id):
                    await out(line)
            except ClientError as error:
                typer.echo(
                    f"hodei: {escaped(str(error))}\nhodei: stopped following job {job_id}, which goes on", err=True
                )
                return 1
        else:
            for line in (await client.logs(job_id)).logs:
                await out(line)
        await output.close()
        return int(expired)

    raise typer.Exit(with_client(lambda client: while_read(show(client))))


@app.command()
def show(
    job: Annotated[str, typer.Argument(help="The job's id, or its last 8 characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a job runs, the state of its steps, and why it did not succeed."""
    from hodei.views import print_job

    async def ask(client: Client) -> int:
        found = await client.job(await whole_job_id(client, job))
        if as_json:
            print(found.model_dump_json(by_alias=True))
        else:
            print_job(found)
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
            print(found.model_dump_json() if as_json else f"would delete {_jobs(found.deleted)}{more}")
        else:
            deleted = await client.delete_jobs(before=before, status=of_status, label=label)
            print(f'{{"deleted":{deleted}}}' if as_json else f"deleted {_jobs(deleted)}")
        return 0

    raise typer.Exit(with_client(ask))


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="The job's id, or its last 8 characters.")]) -> None:
    """Cancel a job."""

    async def ask(client: Client) -> int:
        await client.cancel(await whole_job_id(client, job))
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def worker(
    nats_url: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="URL",
            help="The NATS server to connect to; by default NATS_URL or nats://127.0.0.1:4222.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The worker's name.")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", parser=usage.given, metavar="TEXT", help="The worker's type, which steps may require."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A label of the worker, KEY=VALUE, which steps may require.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many executions the worker runs at once.")] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="TEXT",
            help="Capacity for steps with resources: cpu_m=4000,memory_mb=8000,gpu=1, or a part of it.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            parser=usage.folder,
            metavar="FOLDER",
            help="The folder for the worker's id and for reports that it could not send yet.",
        ),
    ] = None,
) -> None:
    """Run a worker on this machine; it needs only an outbound connection to NATS."""
    port = os.environ.get("NATS_PORT")
    if nats_url is None and port and "NATS_URL" not in os.environ:
        nats_url = f"nats://127.0.0.1:{port}"  # where `hodei up` starts NATS with this setting
    labels = usage.checked({"": "--label"}, lambda: read_labels(json.dumps(usage.pairs("--label", label or []))))
    if capacity:
        usage.checked({"": "--capacity"}, lambda: read_capacity(capacity))
    if name is not None:
        usage.checked({"": "--name"}, lambda: TypeAdapter(Name).validate_python(name))
    given = {
        "NATS_URL": nats_url,
        "HODEI_WORKER_NAME": name,
        "HODEI_WORKER_TYPE": type_,
        "HODEI_WORKER_LABELS": json.dumps(labels) if labels else None,
        "HODEI_WORKER_SLOTS": str(slots) if slots else None,
        "HODEI_WORKER_CAPACITY": capacity,
        "HODEI_STATE_DIR": str(state_dir.absolute()) if state_dir else None,
    }
    environment = {**os.environ, **{key: value for key, value in given.items() if value}, **service_path()}
    sys.stdout.flush()
    # The agent replaces this process, so that it gets the signals and its exit code becomes that of `hodei worker`.
    os.execve(sys.executable, [*python(), "-m", "worker_manager.agent"], environment)
