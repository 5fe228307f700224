"""`hodei schedules import-crontab FILE`: makes a schedule of each line of a crontab.

Its schedules are found again by their names, which come from the command and the source. So an import may be repeated:
it creates what is new, changes what has changed, and leaves the rest alone.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import AfterValidator, StringConstraints, TypeAdapter, ValidationError
from rich.text import Text

from hodei import usage
from hodei.asking import with_client
from hodei.client import Client
from hodei.crontab import MAX_TEXT, CronJob, Fault, read_crontab
from hodei.escapes import escaped
from hodei.ids import SHOWN_AT_MOST, NoSuchId
from hodei.options import AsJson
from hodei.tables import Columns, id_cell, print_columns
from schemas.model import readable_location, without_controls
from schemas.recurrence import check_zone
from schemas.rest.schedules import Schedule, ScheduleCreate, SchedulePatch
from schemas.words import what_would_be_right

SOURCE: Final = "crontab"
"""The label with the source of a schedule; its jobs have it too."""
DEFINITION: Final = "crontab.definition"
"""The label by which a changed line is noticed."""
USER: Final = "crontab.user"
"""The label with the user of a line of a system crontab."""
_OF_SYSTEM: Final = (Path("/etc/crontab"), Path("/etc/cron.d"))
_LOCALTIME: Final = Path("/etc/localtime")
_TIMEZONE: Final = Path("/etc/timezone")
_SOURCE: Final = TypeAdapter[str](
    Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(without_controls)]
)
_ACTIONS: Final = ("created", "updated", "unchanged")
_CHANGED: Final = frozenset(
    {"command", "type", "env", "working_dir", "requires", "cron", "timezone", "jitter", "overlap", "labels"}
)
"""The fields of a schedule that an import sets; others, such as `end`, may be changed by hand."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line, and the schedule that it becomes."""

    job: CronJob
    schedule: ScheduleCreate


@dataclass(frozen=True, slots=True)
class Done:
    """The result of importing a line, or of a trial of it."""

    wanted: Wanted
    action: str
    """created, updated or unchanged."""
    id: str | None

    def as_fields(self, file: str, *, dry_run: bool) -> dict[str, object]:
        """The line as JSON."""
        schedule = self.wanted.schedule
        return {
            "file": file,
            "line": self.wanted.job.line,
            "action": self.action,
            "dry_run": dry_run,
            "id": self.id,
            "name": schedule.name,
            "schedule": schedule.model_dump(mode="json", by_alias=True, exclude_unset=True),
        }


def import_crontab(
    file: Annotated[Path, typer.Argument(parser=usage.file, metavar="FILE", help="A crontab; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    system: Annotated[
        bool, typer.Option("--system", help="Lines have a user before the command, as in /etc/crontab.")
    ] = False,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The zone of lines without CRON_TZ; by default this machine's.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Tells crontabs apart: give each machine and user its own. By default the file's name."
        ),
    ] = None,
    working_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where commands run; cron takes the user's home.")
    ] = None,
    requires: Annotated[
        list[str] | None, typer.Option(help="A label that the worker must have, KEY=VALUE: the machine, for example.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option(help="allow (as cron does, the default), skip, queue or cancel_previous.")
    ] = None,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Import the other lines if some cannot be; exit code 1 all the same.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a schedule of each line of a crontab, or bring those of an earlier import up to date.

    Errors are reported as FILE:LINE. If there are any, nothing is imported.
    """
    if not system and any(path == file or path in file.parents for path in _OF_SYSTEM):
        raise typer.BadParameter(f"{file} has users in its lines: give --system")
    shown = str(file)
    if source is None:
        source = SOURCE if shown == "-" else file.name
    plan = _plan(source, timezone, working_dir, requires, overlap)
    jobs, faults = read_crontab(_text(file), system=system)
    wanted = []
    for job in jobs:
        try:
            wanted.append(Wanted(job, plan.schedule(job)))
        except ValidationError as error:
            faults.append(Fault(job.line, _words(error)))
    for fault in sorted(faults, key=lambda fault: fault.line):
        fields = {"file": shown, "line": fault.line, "msg": fault.msg}
        print(json.dumps(fields) if as_json else escaped(f"{shown}:{fault.line}: {fault.msg}"))
    if faults and not skip_errors:
        typer.echo(f"hodei: {_count(len(faults), 'error')}; nothing is imported", err=True)
        raise typer.Exit(1)

    done: list[Done] = []

    async def ask(client: Client) -> int:
        existing = [await _existing(client, one.schedule.name or "") for one in wanted]
        for one, found in zip(wanted, existing, strict=True):
            done.append(await _bring_up_to_date(client, one, found, dry_run=dry_run))
        return 0

    code = with_client(ask)
    if as_json:
        for one in done:
            print(json.dumps(one.as_fields(shown, dry_run=dry_run)))
    else:
        _show(done, dry_run=dry_run)
        _remark(jobs, plan.zone if timezone is None else None)
    raise typer.Exit(code or int(bool(faults)))


def machine_zone() -> str:
    """The time zone of this machine, by which cron goes: that of TZ, /etc/localtime or /etc/timezone; else UTC."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    candidates.append(str(_LOCALTIME.resolve()).partition("zoneinfo/")[2])
    if _TIMEZONE.is_file():
        candidates.append(_TIMEZONE.read_text(errors="replace").strip())
    for name in candidates:
        try:
            return "UTC" if name == "Etc/UTC" else check_zone(name)
        except ValueError:
            continue  # the next place may have a name
    return "UTC"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What holds for all lines."""

    source: str
    zone: str
    fields: dict[str, object]

    def schedule(self, job: CronJob) -> ScheduleCreate:
        """The schedule of a line. Raises ValidationError."""
        fields = {
            **self.fields,
            **job.fields(),
            "cron": job.cron,
            "timezone": job.zone or self.zone,
            "jitter": job.delay * 60.0 or None,
            "name": job.name(self.source),
        }
        digest = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
        labels = {SOURCE: self.source, DEFINITION: digest, **({USER: job.user} if job.user else {})}
        return ScheduleCreate.model_validate({**fields, "labels": labels})


def _plan(
    source: str,
    timezone: str | None,
    working_dir: str | None,
    requires: Sequence[str] | None,
    overlap: str | None,
) -> _Plan:
    """What the options say. Raises typer.BadParameter."""
    usage.checked({"": "--source"}, lambda: _SOURCE.validate_python(source))
    if timezone is not None:
        usage.checked({"": "--timezone"}, lambda: check_zone(timezone))
    given = {"working_dir": working_dir, "overlap": overlap}
    fields: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if requires:
        fields["requires"] = usage.pairs("--requires", requires)
    options = {"working_dir": "--working-dir", "overlap": "--overlap", "requires": "--requires"}
    usage.checked(options, lambda: ScheduleCreate.model_validate({**fields, "command": "true", "cron": "@daily"}))
    return _Plan(source, timezone or machine_zone(), fields)


def _text(file: Path) -> str:
    """What the file has. Raises typer.BadParameter for one that cannot be read."""
    try:
        raw = sys.stdin.buffer.read(MAX_TEXT + 1) if str(file) == "-" else _start_of(file)
        if len(raw) > MAX_TEXT:
            raise typer.BadParameter(f"{file}: is longer than {MAX_TEXT:,} bytes")
        return raw.decode()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise typer.BadParameter(f"{file}:{line}: the byte 0x{raw[error.start]:02x} is not UTF-8") from None


def _start_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_TEXT + 1)


def _words(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in readable_location(wrong["loc"]))
    right = what_would_be_right(wrong)
    return right if field in ("", "command") else f"{field} {right}"


async def _existing(client: Client, name: str) -> Schedule | None:
    """The schedule of an earlier import. Raises ClientError if there are several."""
    found = [one async for one in client.schedules(name=name, limit=SHOWN_AT_MOST)]
    if len(found) > 1:
        raise NoSuchId(
            f"several schedules have the name {name!r}; remove all but one of {', '.join(x.id for x in found)}"
        )
    return found[0] if found else None


async def _bring_up_to_date(client: Client, wanted: Wanted, found: Schedule | None, *, dry_run: bool) -> Done:
    schedule = wanted.schedule
    if found is None:
        return Done(wanted, "created", None if dry_run else (await client.schedule(schedule)).id)
    same = found.labels.get(DEFINITION) == schedule.labels[DEFINITION]
    if same and (found.cron, found.timezone) == (schedule.cron, schedule.timezone):
        return Done(wanted, "unchanged", found.id)
    if not dry_run:
        changes = {name: getattr(schedule, name) for name in _CHANGED}
        await client.update_schedule(found.id, SchedulePatch.model_validate(changes))
    return Done(wanted, "updated", found.id)


def _show(done: Sequence[Done], *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    columns: Columns = {
        "LINE": [Text(str(one.wanted.job.line)) for one in done],
        "ACTION": [Text(one.action if one.action == "unchanged" else f"{would}{one.action}") for one in done],
        "CRON": [one.wanted.job.cron for one in done],
        "COMMAND": [one.wanted.job.command for one in done],
        "ZONE": [one.wanted.schedule.timezone or "" for one in done],
        "SCHEDULE": [id_cell(one.id) for one in done],
    }
    if done:
        print_columns(columns, shorten="COMMAND", drop=("SCHEDULE", "ZONE"))
    counts = Counter(one.action for one in done)
    parts = [
        f"{counts[action]} {'' if action == 'unchanged' else would}{action}" for action in _ACTIONS if counts[action]
    ]
    print(", ".join(parts) or "there are no lines with a command")


def _remark(jobs: Sequence[CronJob], zone: str | None) -> None:
    """Say what a reader of the table would not expect."""
    if zone is not None and any(job.zone is None for job in jobs):
        typer.echo(
            f"hodei: the times are those of {zone}, this machine's time zone; --timezone gives another", err=True
        )
    if any(job.user for job in jobs):
        typer.echo("hodei: jobs run as their worker's user; that of the crontab is the label crontab.user", err=True)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
