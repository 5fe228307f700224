"""`hodei schedules list | add | show | change | pause | resume | trigger | next | history | remove | import-crontab`.

Exit codes: 0 success, 1 the platform refused or failed, or a crontab has errors, 2 wrong usage.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import BaseModel

from hodei import schedule_options as options
from hodei import usage
from hodei.asking import id_as_json, show_list, with_client
from hodei.client import Client
from hodei.client.filters import ScheduleFilters
from hodei.crontab_import import import_crontab
from hodei.escapes import escaped
from hodei.ids import LOOKED_AT, SHORT, SHOWN_AT_MOST, NoSuchId, whole_id, whole_job_id, whole_pipeline
from hodei.options import AsJson, Beginning, CreatedBy, Limit, OfPipeline, OwnKey, OwnLimit, OwnWhenFull, check
from hodei.schedule_options import (
    At,
    CatchUp,
    CatchUpLimit,
    Cron,
    End,
    Env,
    Every,
    Jitter,
    Json,
    Label,
    OfJob,
    OfJobToRepeat,
    OfName,
    OfPipelineToRun,
    OfStatus,
    Overlap,
    Param,
    Paused,
    Priority,
    Requires,
    Start,
    Timeout,
    Timezone,
    Which,
    WorkingDir,
)
from hodei.schedule_views import (
    following_text,
    print_history,
    print_schedule,
    print_schedules,
    print_times,
    when_text,
)
from schemas.ids import is_id
from schemas.rest.schedules import Firing, NextTime, Schedule, ScheduleCreate, SchedulePatch, ScheduleQuery
from schemas.states import ScheduleStatus

M = TypeVar("M", bound=BaseModel)

app = typer.Typer(help="Run jobs at given times, once or again and again.")


@app.callback(invoke_without_command=True)
def _group(
    context: typer.Context,
    status: OfStatus = None,
    name: Beginning = None,
    job: OfJob = None,
    pipeline: OfPipeline = None,
    created_by: CreatedBy = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Run jobs at given times, once or again and again. Without a command: list."""
    if context.invoked_subcommand is None:
        _list(status, name, job, pipeline, created_by, limit, as_json=as_json)
    if (status, name, job, pipeline, created_by, limit, as_json) != (None, None, None, None, None, 20, False):
        raise typer.BadParameter(f"options of {context.invoked_subcommand} stand after it")


@app.command("list")
def list_(
    status: OfStatus = None,
    name: Beginning = None,
    job: OfJob = None,
    pipeline: OfPipeline = None,
    created_by: CreatedBy = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List schedules, newest first."""
    _list(status, name, job, pipeline, created_by, limit, as_json=as_json)


@app.command(context_settings={"allow_interspersed_args": False})
def add(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="One argument: a line for /bin/sh. Several: a program and its arguments, after --."),
    ] = None,
    cron: Cron = None,
    timezone: Timezone = None,
    every: Every = None,
    at: At = None,
    pipeline: OfPipelineToRun = None,
    job: OfJobToRepeat = None,
    name: OfName = None,
    start: Start = None,
    end: End = None,
    jitter: Jitter = None,
    overlap: Overlap = None,
    catch_up: CatchUp = None,
    catch_up_limit: CatchUpLimit = None,
    paused: Paused = False,
    priority: Priority = None,
    param: Param = None,
    env: Env = None,
    label: Label = None,
    requires: Requires = None,
    timeout: Timeout = None,
    working_dir: WorkingDir = None,
    concurrency_key: OwnKey = None,
    concurrency_limit: OwnLimit = None,
    when_full: OwnWhenFull = None,
    as_json: Json = False,
) -> None:
    """Add a schedule, and print its id. Give one of --cron, --every and --at, and a command, --pipeline or --job."""
    if (cron, every, at).count(None) != 2:
        raise typer.BadParameter("give one of --cron, --every and --at")
    if (command or None, pipeline, job).count(None) != 2:
        raise typer.BadParameter("give one of COMMAND, --pipeline and --job")
    # The ids of --pipeline and --job are looked up later; until then, any text is one.
    given = options.fields_of(
        command=command,
        paused=paused or None,
        param=param,
        env=env,
        label=label,
        requires=requires,
        concurrency_limit=concurrency_limit,
        when_full=when_full,
        cron=cron,
        timezone=timezone,
        every=every,
        run_at=at,
        start=start,
        end=end,
        jitter=jitter,
        overlap=overlap,
        catch_up=catch_up,
        catch_up_limit=catch_up_limit,
        name=name,
        priority=priority,
        timeout=timeout,
        working_dir=working_dir,
        concurrency_key=concurrency_key,
        pipeline_id=pipeline,
        job_id=job,
    )
    wanted = usage.checked(options.OF_FIELDS, lambda: ScheduleCreate.model_validate(given))

    async def ask(client: Client) -> int:
        whole = {
            "pipeline_id": None if pipeline is None else (await whole_pipeline(client, pipeline)).id,
            "job_id": None if job is None else await whole_job_id(client, job),
        }
        ids = {key: value for key, value in whole.items() if value is not None}
        made = await client.schedule(wanted.model_copy(update=ids))
        if as_json:
            print(made.model_dump_json(by_alias=True))
            return 0
        print(made.id)
        typer.echo(escaped(f"hodei: {when_text(made)}; {following_text(made)}"), err=True)
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def change(
    schedule: Which,
    command: Annotated[
        str | None, typer.Option("--command", metavar="LINE", help="Run this line for /bin/sh from now on.")
    ] = None,
    cron: Cron = None,
    timezone: Timezone = None,
    every: Every = None,
    at: At = None,
    pipeline: OfPipelineToRun = None,
    job: OfJobToRepeat = None,
    name: OfName = None,
    start: Start = None,
    end: End = None,
    jitter: Jitter = None,
    overlap: Overlap = None,
    catch_up: CatchUp = None,
    catch_up_limit: CatchUpLimit = None,
    priority: Priority = None,
    param: Param = None,
    env: Env = None,
    label: Label = None,
    requires: Requires = None,
    timeout: Timeout = None,
    working_dir: WorkingDir = None,
    concurrency_key: OwnKey = None,
    concurrency_limit: OwnLimit = None,
    when_full: OwnWhenFull = None,
    reset: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Give a field its default: end, jitter, overlap, …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a schedule. Fields that you do not give stay. --param, --env and --label replace all earlier ones."""
    given = options.fields_of(
        command=None if command is None else [command],
        param=param,
        env=env,
        label=label,
        requires=requires,
        concurrency_limit=concurrency_limit,
        when_full=when_full,
        cron=cron,
        timezone=timezone,
        every=every,
        run_at=at,
        start=start,
        end=end,
        jitter=jitter,
        overlap=overlap,
        catch_up=catch_up,
        catch_up_limit=catch_up_limit,
        name=name,
        priority=priority,
        timeout=timeout,
        working_dir=working_dir,
        concurrency_key=concurrency_key,
        pipeline_id=pipeline,
        job_id=job,
    )
    for field in reset or []:
        field = field.replace("-", "_")
        if field not in SchedulePatch.model_fields or field in given:
            right = "is given as well" if field in given else "is not a field of a schedule"
            raise typer.BadParameter(f"{field} {right}", param_hint="'--reset'")
        given[field] = None
    if not given:
        raise typer.BadParameter("give what to change")
    wanted = usage.checked(options.OF_FIELDS, lambda: SchedulePatch.model_validate(given))

    async def ask(client: Client) -> int:
        id = await whole_schedule_id(client, schedule)
        update: dict[str, object] = {}
        if pipeline is not None:
            update["pipeline_id"] = (await whole_pipeline(client, pipeline)).id
        if job is not None:
            update["job_id"] = await whole_job_id(client, job)
        changed = await client.update_schedule(id, wanted.model_copy(update=update))
        if as_json:
            print(changed.model_dump_json(by_alias=True))
        else:
            print_schedule(changed)
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def show(schedule: Which, as_json: Json = False) -> None:
    """Show what a schedule runs, when, and how it last went."""
    _ask(schedule, lambda client, id: client.scheduled(id), print_schedule, as_json=as_json)


@app.command()
def pause(schedule: Which, as_json: Json = False) -> None:
    """Pause a schedule: it fires only when it is triggered. Due times until it is resumed are skipped."""
    _ask(schedule, lambda client, id: client.pause_schedule(id), _print_status, as_json=as_json)


@app.command()
def resume(schedule: Which, as_json: Json = False) -> None:
    """Let a schedule fire again that is paused or failed."""
    _ask(schedule, lambda client, id: client.resume_schedule(id), _print_status, as_json=as_json)


@app.command()
def trigger(schedule: Which, as_json: Json = False) -> None:
    """Fire a schedule now, and print the id of the job. Its due times stay as they are."""

    _ask(schedule, lambda client, id: client.trigger_schedule(id), lambda firing: print(firing.job_id), as_json=as_json)


@app.command("next")
def next_(
    schedule: Which,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many times to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show when a schedule fires next, in its time zone and in UTC."""

    async def find(client: Client) -> list[NextTime]:
        return await client.next_times(await whole_schedule_id(client, schedule), count)

    show_list(find, print_times, as_json=as_json)


@app.command()
def history(schedule: Which, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the last firings of a schedule, newest first: the jobs and how they ended, and why there are none."""

    async def find(client: Client) -> list[Firing]:
        id = await whole_schedule_id(client, schedule)
        return [one async for one in client.schedule_history(id, limit=limit)]

    show_list(find, print_history, as_json=as_json)


@app.command()
def remove(schedule: Which, as_json: Json = False) -> None:
    """Remove a schedule and its history. The jobs that it created stay."""

    async def ask(client: Client) -> int:
        schedule_id = await whole_schedule_id(client, schedule)
        await client.delete_schedule(schedule_id)
        if as_json:
            print(id_as_json(schedule_id))
        return 0

    raise typer.Exit(with_client(ask))


app.command()(import_crontab)


async def whole_schedule_id(client: Client, text: str) -> str:
    """The id of the schedule with this name, id, or end of an id. Raises NoSuchId, which lists several that match, and
    ClientError."""
    if is_id(text.strip()):
        return text.strip()
    named = [one.id async for one in client.schedules(name=text, limit=SHOWN_AT_MOST + 1)] if text else []
    if len(named) > 1:
        listed = "".join(f"\n  {id}" for id in named[:SHOWN_AT_MOST])
        raise NoSuchId(f"several schedules have the name {text!r}; give the id of one:{listed}")
    if named:
        return named[0]
    if text and not SHORT.fullmatch(text.strip().lower()):
        raise NoSuchId(f"there is no schedule with the name {text!r}")
    every = client.schedules(limit=LOOKED_AT)
    return await whole_id("schedule", text, ((one.id, f"{one.status.value}  {one.name or ''}") async for one in every))


def _list(
    status: ScheduleStatus | None,
    name: str | None,
    job: str | None,
    pipeline: str | None,
    created_by: str | None,
    limit: int,
    *,
    as_json: bool,
) -> NoReturn:
    filters: ScheduleFilters = {
        "status": status,
        "name": name,
        "job_id": job,
        "pipeline_id": pipeline,
        "created_by": created_by,
        "limit": limit,
    }
    check(ScheduleQuery, filters)

    async def find(client: Client) -> list[Schedule]:
        if job is not None:
            filters["job_id"] = await whole_job_id(client, job)
        if pipeline is not None:
            filters["pipeline_id"] = (await whole_pipeline(client, pipeline)).id
        return [one async for one in client.schedules(**filters)]

    show_list(find, print_schedules, as_json=as_json)


def _ask(
    schedule: str, call: Callable[[Client, str], Awaitable[M]], show: Callable[[M], None], *, as_json: bool
) -> NoReturn:
    """Make a call about one schedule, show its answer, and exit."""

    async def ask(client: Client) -> int:
        answer = await call(client, await whole_schedule_id(client, schedule))
        if as_json:
            print(answer.model_dump_json(by_alias=True))
        else:
            show(answer)
        return 0

    raise typer.Exit(with_client(ask))


def _print_status(schedule: Schedule) -> None:
    print(f"{schedule.id} {schedule.status.value}")
