"""`hodei cancel | rerun | delete`: jobs that are named, or with --all those that match filters."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Literal, cast

import typer

from hodei import completing
from hodei import run as running
from hodei.asking import id_as_json, with_client
from hodei.client import ApiError, Client, ClientError
from hodei.client.filters import JobSelectionFilters
from hodei.escapes import escaped
from hodei.ids import pipeline_filter, whole_job_id
from hodei.options import AsJson, Beginning, CreatedAfter, CreatedBefore, CreatedBy, Label, check
from schemas.rest.job_filters import JobQuery, JobsChanged
from schemas.states import JobStatus

Verb = Literal["cancel", "rerun", "delete"]
OF_THE_JOB: Final = frozenset({404, 409})
"""Statuses of refusals that are about one job, so that others may still be deleted."""

Jobs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[JOB]...", autocompletion=completing.job_ids, help="Ids of jobs, or their last 8 characters."
    ),
]
Open = Annotated[
    bool, typer.Option("--all", help="All jobs that have not ended and match the filters, in place of JOB.")
]
Ended = Annotated[bool, typer.Option("--all", help="All jobs that have ended and match the filters, in place of JOB.")]
OfStatus = Annotated[
    list[JobStatus] | None,
    typer.Option("--status", help="With --all: only those with this status; may be repeated."),
]
Pipeline = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        autocompletion=completing.pipeline_ids,
        help="Only those of this pipeline: its name, its id, or the last 8 characters of its id.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --all: only print how many jobs match.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="With --all without a filter: do not ask whether all jobs are meant.")
]


@dataclass(frozen=True)
class Words:
    """What a verb does to `jobs`. `did` is None where ids are printed in its place."""

    would: str
    did: str | None
    warning: str
    question: str
    declined: str


WORDS: Final[dict[Verb, Words]] = {
    "cancel": Words(
        would="would cancel {jobs}",
        did="cancelled {jobs}",
        warning="cancels every job that has not ended",
        question="Cancel every job that has not ended?",
        declined="nothing was cancelled",
    ),
    "rerun": Words(
        would="would run {jobs} again",
        did=None,
        warning="runs every job that has ended again",
        question="Run every job that has ended again?",
        declined="nothing was run again",
    ),
    "delete": Words(
        would="would delete {jobs}",
        did="deleted {jobs}",
        warning="deletes every job that has ended, with its log",
        question="Delete every job that has ended, with its log?",
        declined="nothing was deleted",
    ),
}


class Selection:
    """The jobs that a command is for."""

    def __init__(
        self,
        verb: Verb,
        jobs: list[str] | None,
        everything: bool,
        filters: JobSelectionFilters,
        *,
        dry_run: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        """Asks whether all jobs are meant when there is neither `yes` nor a filter that leaves any out, and exits with
        1 if not. Raises BadParameter for options that do not go together or that the orchestrator would refuse."""
        given = any(value is not None for value in filters.values())
        if jobs and everything:
            raise typer.BadParameter("not both: name jobs, or give --all")
        if not everything and (given or dry_run or yes):
            raise typer.BadParameter("filters, --dry-run and --yes are for --all")
        if not jobs and not everything:
            raise typer.BadParameter("name jobs, or give --all")
        check(JobQuery, filters)
        if everything and not (_narrows(filters) or dry_run or yes) and not _all_are_meant(WORDS[verb]):
            typer.echo(f"hodei: {WORDS[verb].declined}", err=True)
            raise typer.Exit(1)
        self.jobs = jobs or []
        self._verb, self._filters, self._dry_run, self._as_json = verb, filters, dry_run, as_json

    async def ids(self, client: Client) -> list[str]:
        """The whole ids of the jobs that are named."""
        return [await whole_job_id(client, job) for job in self.jobs]

    async def change_all(self, client: Client, change: Callable[..., Awaitable[JobsChanged]]) -> int:
        """Change all that match, or only count them. Returns the exit code."""
        pipeline = await pipeline_filter(client, self._filters.get("pipeline"))
        filters = {**self._filters, "pipeline": pipeline}
        given = cast(JobSelectionFilters, {name: value for name, value in filters.items() if value is not None})
        if not self._dry_run:
            return await self.told(partial(change, **given))
        found = await client.jobs_to_change(self._verb, **given)
        jobs = f"{jobs_in_words(found.matched)}{' or more' if found.more else ''}"
        print(found.model_dump_json() if self._as_json else WORDS[self._verb].would.format(jobs=jobs))
        return 0

    async def told(self, change: Callable[..., Awaitable[JobsChanged]]) -> int:
        """Print what a change has done, also when it fails, or is interrupted, after some of it. Returns the exit
        code."""
        so_far: JobsChanged | None = None

        def note(changed: JobsChanged) -> None:
            nonlocal so_far
            so_far = changed

        try:
            changed = await change(progress=note)
        except (ClientError, asyncio.CancelledError) as error:
            if so_far is not None and (so_far.done or so_far.refused):
                self.tell(so_far)
                sys.stdout.flush()  # what is not written yet is dropped after an interrupt
            if isinstance(error, asyncio.CancelledError):
                typer.echo("hodei: interrupted; the request that was under way may have changed more jobs", err=True)
            raise
        return self.tell(changed)

    def tell(self, changed: JobsChanged) -> int:
        """Print how many jobs were changed or, after a rerun, the ids of the new ones. Returns the exit code."""
        if self._as_json:
            print(changed.model_dump_json())
            return 1 if changed.refused else 0
        did = WORDS[self._verb].did
        if did is None:
            print("".join(f"{id}\n" for id in changed.ids), end="")
        else:
            print(did.format(jobs=jobs_in_words(changed.done)))
        for one in changed.refused:
            _left(one.id, one.detail)
        return 1 if changed.refused else 0


def cancel(
    jobs: Jobs = None,
    everything: Open = False,
    status: OfStatus = None,
    name: Beginning = None,
    label: Label = None,
    pipeline: Pipeline = None,
    created_by: CreatedBy = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Cancel jobs: those that are named, or with --all those that match the filters.

    --all without a filter (or with --name '*') asks first; without a terminal it needs --yes.
    For one JOB that is being stopped already, this ends its clean-up. Several, and --all, leave such jobs as they are.
    With --json, one named job is {"id": …}; several are what POST /api/v1/jobs/cancel answers.
    """
    filters = _filters(status, name, label, pipeline, created_by, created_after, created_before)
    chosen = Selection("cancel", jobs, everything, filters, dry_run=dry_run, yes=yes, as_json=as_json)

    async def ask(client: Client) -> int:
        if everything:
            return await chosen.change_all(client, client.cancel_jobs)
        ids = await chosen.ids(client)
        if len(ids) > 1:
            return await chosen.told(partial(client.cancel_jobs, ids))
        await client.cancel(ids[0])
        if as_json:
            print(id_as_json(ids[0]))
        return 0

    raise typer.Exit(with_client(ask))


def rerun(
    jobs: Jobs = None,
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
    everything: Ended = False,
    status: OfStatus = None,
    name: Beginning = None,
    label: Label = None,
    pipeline: Pipeline = None,
    created_by: CreatedBy = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="The job as JSON, in place of its id or output.")] = False,
) -> None:
    """Run jobs again, those that are named or with --all those that match the filters, and print the new jobs' ids.

    With --from, a new job keeps what succeeded before, outputs and decisions included.
    --all without a filter (or with --name '*') asks first; without a terminal it needs --yes.
    """
    if quiet and not follow:
        raise typer.BadParameter("--quiet is for --follow")
    if follow and (everything or len(jobs or ()) > 1):
        raise typer.BadParameter("--follow is for one JOB")
    filters = _filters(status, name, label, pipeline, created_by, created_after, created_before)
    chosen = Selection("rerun", jobs, everything, filters, dry_run=dry_run, yes=yes, as_json=as_json)

    async def ask(client: Client) -> int:
        if everything:
            return await chosen.change_all(client, partial(client.rerun_jobs, start=start))
        ids = await chosen.ids(client)
        if follow:
            return await running.rerun(client, ids[0], start, quiet=quiet, as_json=as_json)
        if len(ids) > 1:
            return await chosen.told(partial(client.rerun_jobs, ids, start=start))
        new = await client.rerun(ids[0], start=start)
        print(new.model_dump_json(by_alias=True) if as_json else new.id)
        return 0

    raise typer.Exit(with_client(ask, failed=running.PLATFORM_FAILED if follow else 1))


def delete(
    jobs: Jobs = None,
    everything: Ended = False,
    status: OfStatus = None,
    name: Beginning = None,
    label: Label = None,
    pipeline: Pipeline = None,
    created_by: CreatedBy = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete jobs that have ended, with their logs: those that are named, or with --all those that match the filters.

    --all without a filter (or with --name '*') asks first; without a terminal it needs --yes.
    'hodei prune' deletes by age.
    """
    filters = _filters(status, name, label, pipeline, created_by, created_after, created_before)
    chosen = Selection("delete", jobs, everything, filters, dry_run=dry_run, yes=yes, as_json=as_json)

    async def ask(client: Client) -> int:
        if everything:
            return await chosen.change_all(client, client.delete_selected_jobs)
        code = 0
        for job_id in dict.fromkeys(await chosen.ids(client)):
            try:
                await client.delete_job(job_id)
            except ApiError as error:
                if error.status not in OF_THE_JOB:
                    raise
                _left(job_id, error.problem.detail)
                code = 1
            else:
                print(id_as_json(job_id) if as_json else f"{job_id} deleted")
        return code

    raise typer.Exit(with_client(ask))


def _filters(
    status: OfStatus,
    name: Beginning,
    label: Label,
    pipeline: Pipeline,
    created_by: CreatedBy,
    created_after: CreatedAfter,
    created_before: CreatedBefore,
) -> JobSelectionFilters:
    return {
        "status": status,
        "name": name,
        "label": label,
        "pipeline": pipeline,
        "created_by": created_by,
        "created_after": created_after,
        "created_before": created_before,
    }


def _narrows(filters: JobSelectionFilters) -> bool:
    """Whether the filters leave any job out: a name of `*` leaves none."""
    return any(value is not None and (name, value) != ("name", "*") for name, value in filters.items())


def _left(job_id: str, why: str) -> None:
    if why == f"there is no job {job_id}":
        typer.echo(f"hodei: {why}", err=True)
        return
    reason = why.replace(f"job {job_id} ", "it ", 1) if why.startswith(f"job {job_id} ") else why
    typer.echo(f"hodei: job {job_id} was left as it is: {escaped(reason)}", err=True)


def _all_are_meant(words: Words) -> bool:
    """Ask; the end of the input is a no. Raises BadParameter without a terminal."""
    if not _on_a_terminal():
        raise typer.BadParameter(f"--all without a filter {words.warning}: confirm that with --yes")
    try:
        return typer.confirm(words.question, err=True)
    except typer.Abort:
        typer.echo(err=True)  # ends the line of the question
        return False


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


def jobs_in_words(count: int) -> str:
    """`1 job`, `2 jobs`."""
    return "1 job" if count == 1 else f"{count} jobs"
