"""Prints schedules, when they fire next, and what they did."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from hodei.tables import Columns, id_cell, moment_cell, print_columns
from hodei.views import STATUS_STYLES, by_column, done_text, labels_text, moment_or_nothing, moment_text, params_text
from schemas.model import on_one_line
from schemas.rest.schedules import Firing, NextTime, Schedule


def print_schedules(schedules: Sequence[Schedule]) -> None:
    """Print schedules, a line each."""
    columns: Columns = {
        "ID": [id_cell(one.id) for one in schedules],
        "STATUS": [one.status.value for one in schedules],
        "NAME": [one.name or "" for one in schedules],
        "NEXT": [moment_cell(one.next_run_at) for one in schedules],
        "WHEN": [when_text(one) for one in schedules],
        "LAST": [moment_cell(one.last_run_at) for one in schedules],
        "LAST JOB": [id_cell(one.last_job_id) for one in schedules],
        **by_column([one.created_by for one in schedules]),
    }
    print_columns(columns, shorten="NAME", drop=("LAST JOB", "BY", "LAST", "WHEN", "NEXT"))


def print_schedule(schedule: Schedule) -> None:
    """Print one schedule, a line for each of its fields that is set."""
    zone = f" ({schedule.timezone})" if schedule.timezone else ""
    catch_up = (
        f"{schedule.catch_up}, at most {schedule.catch_up_limit}" if schedule.catch_up_limit else schedule.catch_up
    )
    limit = schedule.concurrency
    head = {
        "schedule": schedule.id,
        "name": schedule.name,
        "status": schedule.status.value,
        "runs": _runs(schedule),
        "when": schedule.description or (f"once, at {moment_text(schedule.run_at)}" if schedule.run_at else "once"),
        "cron": f"{schedule.cron}{zone}" if schedule.cron else None,
        "start": moment_or_nothing(schedule.start),
        "end": moment_or_nothing(schedule.end),
        "jitter": f"up to {schedule.jitter:g} s" if schedule.jitter else None,
        "overlap": schedule.overlap,
        "catch up": catch_up,
        "priority": schedule.priority,
        "params": params_text(schedule.params),
        "env": labels_text(schedule.env),
        "labels": labels_text(schedule.labels),
        "key": schedule.concurrency_key,
        "limit": f"{limit.limit}, then {limit.when_full}" if limit else None,
        "next": moment_or_nothing(schedule.next_run_at),
        "last": moment_or_nothing(schedule.last_run_at),
        "last job": schedule.last_job_id,
        "error": schedule.last_error,
        "missed": str(schedule.missed) if schedule.missed else None,
        "created": done_text(schedule.created_at, schedule.created_by),
    }
    console = Console(highlight=False)
    for title, text in head.items():
        if text:
            console.print(Text(f"{title:<9}{on_one_line(text)}"), soft_wrap=True)


def print_times(times: Sequence[NextTime]) -> None:
    """Print times, a line each."""
    console = Console(highlight=False)
    for one in times:
        day = datetime.fromisoformat(one.local).strftime("%a")
        console.print(Text(f"{day} {on_one_line(one.local)}  {one.utc.strftime('%Y-%m-%dT%H:%M:%SZ')}"), soft_wrap=True)


def print_history(firings: Sequence[Firing]) -> None:
    """Print firings, a line each. A line for several due times that were missed has their number."""
    columns: Columns = {
        "DUE": [moment_cell(one.due_at) for one in firings],
        "OUTCOME": [_outcome(one) for one in firings],
        "KIND": [one.kind.value for one in firings],
        "JOB": [id_cell(one.job_id) for one in firings],
        "WHY": [": ".join(filter(None, [one.reason, one.detail])) for one in firings],
        **by_column([one.triggered_by for one in firings]),
    }
    print_columns(columns, shorten="WHY", drop=("BY", "KIND"))


def when_text(schedule: Schedule) -> str:
    """When a schedule fires, in words."""
    return schedule.description or "once"


def following_text(schedule: Schedule) -> str:
    """When a schedule fires next, in its own time zone; without one, in the local time zone."""
    if schedule.next_run_at is None:
        return "paused"
    zone = None if schedule.timezone is None else ZoneInfo(schedule.timezone)
    return f"next at {schedule.next_run_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _outcome(firing: Firing) -> Text:
    more = "+" if firing.more else ""
    text = firing.outcome.value if firing.count == 1 else f"{firing.outcome.value} ({firing.count}{more})"
    return Text(text, style=STATUS_STYLES.get(firing.outcome.value, ""))


def _runs(schedule: Schedule) -> str:
    if schedule.command is None:
        return f"pipeline {schedule.pipeline_id}" if schedule.job_id is None else f"job {schedule.job_id} again"
    return schedule.command if isinstance(schedule.command, str) else shlex.join(schedule.command)
