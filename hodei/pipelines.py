"""`hodei pipelines list | show | versions | lint | apply | export | schema | run`.

Exit codes: 0 success, 1 a file has errors, or the platform refused or failed, 2 wrong usage. `run` exits as `hodei run`
does.
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from hodei import usage
from hodei.asking import show_list, with_client
from hodei.client import Client
from hodei.client.filters import PipelineFilters
from hodei.completing import pipeline_ids
from hodei.definitions import Definition, Finding, checked, fields_of, files, show_findings, text_of
from hodei.ids import SHOWN_AT_MOST, whole_pipeline
from hodei.options import AsJson, Beginning, CreatedBy, Limit, OwnKey, OwnLimit, OwnWhenFull, check, concurrency_of
from hodei.tables import Columns, id_cell, moment_cell, print_columns
from hodei.views import by_column, declared_text, done_text
from schemas.ids import is_id
from schemas.model import on_one_line
from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import Pipeline, PipelineQuery, PipelineStatus
from schemas.steps import ApprovalStep, Step

app = typer.Typer(help="List pipelines, keep them as files, and run them.")

Which = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE", autocompletion=pipeline_ids, help="Its name, its id, or the last 8 characters of its id."
    ),
]
Version = Annotated[int | None, typer.Option(min=1, help="This version of it, instead of the latest one.")]
Paths = Annotated[
    list[Path],
    typer.Argument(parser=usage.file, metavar="FILE|FOLDER...", help="YAML or JSON files, or folders with such files."),
]
OfStatus = Annotated[PipelineStatus, typer.Option("--status", help="Active or archived pipelines.")]
OfVersion = Annotated[
    int | None, typer.Option("--version", help="Only pipelines whose latest version has this number.")
]
RUN_OPTIONS: Final = {
    "params": "--param",
    "name": "--name",
    "env": "--env",
    "labels": "--label",
    "priority": "--priority",
    "concurrency_key": "--concurrency-key",
}
"""The option of `hodei pipelines run` for each field of a job."""
_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


@app.callback(invoke_without_command=True)
def _group(
    context: typer.Context,
    status: OfStatus = "active",
    name: Beginning = None,
    version: OfVersion = None,
    created_by: CreatedBy = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List pipelines, keep them as files, and run them. Without a command: list."""
    if context.invoked_subcommand is None:
        _list(status, name, version, created_by, limit, as_json=as_json)
    if (status, name, version, created_by, limit, as_json) != ("active", None, None, None, 20, False):
        raise typer.BadParameter(f"options of {context.invoked_subcommand} stand after it")


@app.command("list")
def list_(
    status: OfStatus = "active",
    name: Beginning = None,
    version: OfVersion = None,
    created_by: CreatedBy = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List pipelines, newest first."""
    _list(status, name, version, created_by, limit, as_json=as_json)


@app.command()
def show(pipeline: Which, version: Version = None, as_json: AsJson = False) -> None:
    """Show a pipeline and its steps."""

    async def ask(client: Client) -> int:
        found = await whole_pipeline(client, pipeline, version)
        if as_json:
            print(found.model_dump_json(by_alias=True))
        else:
            print_pipeline(found)
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def versions(pipeline: Which, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the versions of a pipeline, newest first."""

    async def find(client: Client) -> list[Pipeline]:
        pipeline_id = pipeline if is_id(pipeline) else (await whole_pipeline(client, pipeline)).id
        return [one async for one in client.pipeline_versions(pipeline_id, limit=limit)]

    show_list(find, print_versions, as_json=as_json)


@app.command()
def export(pipeline: Which, version: Version = None, as_json: AsJson = False) -> None:
    """Print a pipeline as YAML, for a file that 'lint' and 'apply' take."""

    async def ask(client: Client) -> int:
        found = await whole_pipeline(client, pipeline, version)
        print(json.dumps(fields_of(found)) if as_json else text_of(found), end="\n" if as_json else "")
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def schema(as_json: Annotated[bool, typer.Option("--json", help="On one line.")] = False) -> None:
    """Print the JSON Schema with which an editor checks pipelines' files."""

    async def ask(client: Client) -> int:
        print(json.dumps(await client.pipeline_schema(), indent=None if as_json else 2))
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def lint(paths: Paths, as_json: AsJson = False) -> None:
    """Check pipelines' files, and report every error as FILE:LINE:COLUMN. Exit code 1: there are errors."""
    wanted = files(paths)

    async def ask(client: Client) -> int:
        definitions, findings = await checked(client, wanted)
        if findings:
            return _refuse(findings, as_json=as_json)
        if not as_json:
            print(f"no errors in {_count(len(definitions), 'file')}")
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def apply(
    paths: Paths,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the pipelines of files, or update those of the same name, and show what changes.

    All files are checked before anything is written. A pipeline that does not change gets no new version.
    """
    wanted = files(paths)

    async def ask(client: Client) -> int:
        definitions, findings = await checked(client, wanted)
        existing: dict[str, Pipeline] = {}
        for one in definitions:
            found = [each async for each in client.pipelines(name=one.pipeline.name, limit=SHOWN_AT_MOST)]
            if len(found) > 1:
                ids = ", ".join(each.id for each in found)
                msg = f"several pipelines have the name {one.pipeline.name!r}; archive all but one of {ids}"
                findings.append(Finding(one.file, 1, 1, "name", msg, "ambiguous_name"))
            elif found:
                existing[one.pipeline.name] = found[0]
        if findings:
            return _refuse(findings, as_json=as_json)
        for one in definitions:
            await _apply(client, one, existing.get(one.pipeline.name), dry_run=dry_run, as_json=as_json)
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def run(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="[PIPELINE]",
            autocompletion=pipeline_ids,
            help="Its name, its id, or the last 8 characters of its id.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", parser=usage.file, metavar="FILE", help="Run this file's pipeline, unstored."),
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="KEY=VALUE, a parameter of the job.")] = None,
    name: Annotated[str | None, typer.Option(help="The job's name; by default the pipeline's.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=VALUE, or NAME to pass it on.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="KEY=VALUE, kept with the job.")] = None,
    priority: Annotated[str, typer.Option(help="low, normal, high or critical.")] = "normal",
    concurrency_key: OwnKey = None,
    concurrency_limit: OwnLimit = None,
    when_full: OwnWhenFull = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the job's id and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the output, and why it failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The job as JSON, in place of its output.")] = False,
) -> None:
    """Run a pipeline, stored or from a file, and show its output.

    It exits as 'hodei run' does, with the code of the first step that failed.
    """
    from hodei import run as running

    if (pipeline is None) == (file is None):
        raise typer.BadParameter("give a pipeline, or --file")

    fields: dict[str, object] = {
        "pipeline_id": "",
        "params": usage.pairs("--param", param or []),
        "name": name,
        "env": usage.environment("--env", env or []),
        "labels": usage.pairs("--label", label or []),
        "priority": priority,
        "concurrency_key": concurrency_key,
        "concurrency": concurrency_of(concurrency_limit, when_full),
    }
    given = {key: value for key, value in fields.items() if value is not None}
    job = usage.checked(RUN_OPTIONS, lambda: JobCreate.model_validate(given))

    async def start(client: Client) -> int:
        if file is not None:
            definitions, findings = await checked(client, [file])
            if findings:
                _refuse(findings, as_json=as_json)
                return running.PLATFORM_FAILED
            what: dict[str, object] = {"pipeline_id": None, "pipeline": definitions[0].pipeline}
        else:
            what = {"pipeline_id": (await whole_pipeline(client, pipeline or "")).id}
        wanted = job.model_copy(update=what)
        return await running.run(client, wanted, detach=detach, quiet=quiet, as_json=as_json)

    raise typer.Exit(with_client(start, failed=running.PLATFORM_FAILED))


def print_pipelines(pipelines: Sequence[Pipeline]) -> None:
    """Print pipelines, a line each."""
    columns: Columns = {
        "ID": [id_cell(one.id) for one in pipelines],
        "STATUS": [one.status for one in pipelines],
        "NAME": [one.name for one in pipelines],
        "VERSION": [str(one.version) for one in pipelines],
        "STEPS": [str(len(one.steps)) for one in pipelines],
        "UPDATED": [moment_cell(one.updated_at) for one in pipelines],
        **by_column([one.updated_by for one in pipelines]),
    }
    print_columns(columns, shorten="NAME", drop=("BY", "STEPS", "UPDATED", "VERSION"))


def print_versions(pipelines: Sequence[Pipeline]) -> None:
    """Print versions of one pipeline, a line each."""
    columns: Columns = {
        "VERSION": [str(one.version) for one in pipelines],
        "NAME": [one.name for one in pipelines],
        "STEPS": [str(len(one.steps)) for one in pipelines],
        "UPDATED": [moment_cell(one.updated_at) for one in pipelines],
        **by_column([one.updated_by for one in pipelines]),
    }
    print_columns(columns, shorten="NAME", drop=("STEPS", "BY"))


def print_pipeline(pipeline: Pipeline) -> None:
    """Print one pipeline: its head, and a line for each step."""
    head = {
        "pipeline": pipeline.id,
        "name": pipeline.name,
        "status": pipeline.status,
        "version": str(pipeline.version),
        "about": pipeline.description or "",
        "params": ", ".join(declared_text(name, spec) for name, spec in pipeline.params.items()),
        "created": done_text(pipeline.created_at, pipeline.created_by),
        "updated": done_text(pipeline.updated_at, pipeline.updated_by),
    }
    console = Console(highlight=False)
    for title, text in head.items():
        if text:
            console.print(Text(f"{title:<9}{on_one_line(text)}"), soft_wrap=True)
    if not pipeline.steps:
        return
    console.print()
    columns: Columns = {
        "STEP": [one.name for one in pipeline.steps],
        "WHEN": [one.when for one in pipeline.steps],
        "AFTER": [", ".join(one.depends_on) for one in pipeline.steps],
        "RUNS": [_runs(one) for one in pipeline.steps],
    }
    print_columns(columns, shorten="RUNS", drop=("WHEN", "AFTER"))


def _list(
    status: PipelineStatus,
    name: str | None,
    version: int | None,
    created_by: str | None,
    limit: int,
    *,
    as_json: bool,
) -> NoReturn:
    filters: PipelineFilters = {
        "status": status,
        "name": name,
        "version": version,
        "created_by": created_by,
        "limit": limit,
    }
    check(PipelineQuery, filters)

    async def find(client: Client) -> list[Pipeline]:
        return [one async for one in client.pipelines(**filters)]

    show_list(find, print_pipelines, as_json=as_json)


async def _apply(
    client: Client, wanted: Definition, existing: Pipeline | None, *, dry_run: bool, as_json: bool
) -> None:
    name = wanted.pipeline.name
    result = existing
    if existing is not None and fields_of(existing) == fields_of(wanted.pipeline):
        action, changes = "unchanged", list[str]()
    else:
        action = "created" if existing is None else "updated"
        changes = list(_changes(wanted, existing))
        if not dry_run:
            result = await (
                client.create_pipeline(wanted.pipeline)
                if existing is None
                else client.update_pipeline(existing.id, wanted.pipeline)
            )
    if as_json:
        fields = {
            "file": wanted.file,
            "name": name,
            "id": result and result.id,
            "version": result and result.version,
            "action": action,
            "dry_run": dry_run,
            "diff": "\n".join(changes),
        }
        print(json.dumps(fields))
        return
    console = Console(highlight=False)
    for line in changes:
        console.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
    did = f"would be {action}" if dry_run and changes else action
    which = f", version {result.version}, {result.id}" if result is not None and not (dry_run and changes) else ""
    print(f"{on_one_line(name)}: {did}{which}")


def _changes(wanted: Definition, existing: Pipeline | None) -> Iterator[str]:
    """A unified diff of the pipeline as it is and as it will be, both written in the same way."""
    before = [] if existing is None else text_of(existing).splitlines()
    title = "/dev/null" if existing is None else on_one_line(f"{existing.name} (version {existing.version})")
    after = text_of(wanted.pipeline).splitlines()
    return difflib.unified_diff(before, after, title, on_one_line(wanted.file), lineterm="")


def _refuse(findings: Sequence[Finding], *, as_json: bool) -> int:
    if as_json:
        for one in findings:
            print(json.dumps(one.as_fields()))
    else:
        show_findings(findings)
        typer.echo(f"hodei: {_count(len(findings), 'error')}", err=True)
    return 1


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _runs(step: Step) -> str:
    if isinstance(step, ApprovalStep):
        return f"approval: {step.message}" if step.message else "approval"
    if step.matrix is not None:
        command = step.command if isinstance(step.command, str) else " ".join(step.command)
        return f"for each {' and '.join(step.matrix.keys)}: {command}"
    return step.command if isinstance(step.command, str) else " ".join(step.command)
