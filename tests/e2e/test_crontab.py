"""Schedules from the command line, and crontabs that are moved here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hodei.client import Client
from schemas.rest.schedules import ScheduleCreate
from schemas.states import FiringKind, FiringOutcome, JobStatus, ScheduleStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually
from tests.e2e.test_command_line import hodei

CRONTAB = """\
# moved from the old machine
MAILTO=ops@example.org
GREETING="good  morning"
CRON_TZ=Europe/Madrid
30 2 * * * echo "$GREETING"
@hourly cat > {file}%one%100\\% two
RANDOM_DELAY=5
0 9 * * mon-fri echo late
"""


async def lines(platform: Platform, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = await hodei(platform, "schedules", *arguments, "--json")
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


async def test_a_schedule_is_added_shown_changed_and_removed(platform: Platform, client: Client) -> None:
    name = unique("nightly")
    code, out, err = await hodei(
        platform, *("schedules", "add", "--name", name, "--cron", "30 2 * * *", "--timezone", "Europe/Madrid"),
        *("--overlap", "skip", "--jitter", "5m", "--env", "A=b", "--label", "team=shop"),
        *("--concurrency-key", name, "--concurrency-limit", "2", "echo hello"),
    )  # fmt: skip
    assert code == 0
    id = out.strip()
    assert re.fullmatch(
        r"hodei: At 02:30 every day, Europe/Madrid time; next at [0-9-]{10} 0[23]:[0-9:]{5} CES?T\n", err
    )

    _, out, _ = await hodei(platform, "schedules", "show", name)
    shown = dict(line.split(None, 1) for line in out.splitlines())
    assert shown["schedule"] == id
    assert shown["cron"] == "30 2 * * * (Europe/Madrid)"
    assert (shown["runs"], shown["overlap"], shown["jitter"]) == ("echo hello", "skip", "up to 300 s")
    assert (shown["env"], shown["labels"], shown["status"]) == ("A=b", "team=shop", "scheduled")
    assert (shown["key"], shown["limit"]) == (name, "2, then queue")
    [listed] = await lines(platform, "list", "--name", name)
    assert listed["id"] == id

    times = await lines(platform, "next", id[-8:], "--count", "3")
    assert len(times) == 3
    assert all(datetime.fromisoformat(one["local"]) == datetime.fromisoformat(one["utc"]) for one in times)
    assert all(one["local"][11:14] == "02:" and one["local"][-6:] in ("+01:00", "+02:00") for one in times)
    _, out, _ = await hodei(platform, "schedules", "next", name, "--count", "1")
    assert times[0]["local"] in out

    [changed] = await lines(platform, "change", name, "--every", "6h", "--reset", "overlap")
    assert (changed["cron"], changed["every"], changed["overlap"]) == (None, 21600, "allow")
    assert changed["description"] == "Every 6 hours"
    code, _, err = await hodei(platform, "schedules", "change", name, "--timezone", "UTC")
    assert code == 1
    assert "timezone: belongs to cron" in err
    assert await hodei(platform, "schedules", "pause", name) == (0, f"{id} paused\n", "")
    assert (await client.scheduled(id)).next_run_at is None
    assert await hodei(platform, "schedules", "resume", name) == (0, f"{id} scheduled\n", "")
    assert (await client.scheduled(id)).next_run_at is not None
    assert await hodei(platform, "schedules", "remove", name) == (0, "", "")
    code, _, err = await hodei(platform, "schedules", "show", name)
    assert (code, err) == (1, f"hodei: there is no schedule with the name {name!r}\n")


async def test_a_paused_schedule_is_triggered_and_its_history_tells_of_the_job(
    platform: Platform, client: Client
) -> None:
    name = unique("triggered")
    _, out, err = await hodei(platform, "schedules", "add", "--paused", "--cron", "@yearly", "--name", name, "exit 3")
    id = out.strip()
    assert err == "hodei: At 00:00 on January 1, UTC; paused\n"
    code, job_id, _ = await hodei(platform, "schedules", "trigger", name)
    assert code == 0

    async def told() -> bool | None:
        return [one.outcome async for one in client.schedule_history(id)] == [FiringOutcome.FAILED] or None

    assert await eventually(told)
    assert (await client.job(job_id.strip())).schedule_id == id
    [firing] = await lines(platform, "history", name)
    assert (firing["job_id"], firing["kind"], firing["reason"]) == (job_id.strip(), FiringKind.TRIGGER, "exit_code")
    _, out, _ = await hodei(platform, "schedules", "history", name)
    assert job_id.strip() in out
    assert "failed" in out
    await client.delete_schedule(id)


async def test_a_schedule_repeats_and_a_name_that_two_have_is_refused(platform: Platform, client: Client) -> None:
    name = unique("often")
    code, out, _ = await hodei(platform, "schedules", "add", "--every", "1", "--name", name, "--", "echo", "a  b")
    assert code == 0
    id = out.strip()

    async def twice() -> list[str] | None:
        jobs = [job.id async for job in client.jobs(schedule_id=id, status=JobStatus.SUCCEEDED)]
        return jobs if len(jobs) > 1 else None

    jobs = await eventually(twice)
    assert await expect.output(client, jobs[0]) == ["a  b"]
    other = await client.schedule(ScheduleCreate(command="true", every=3600, name=name))
    code, _, err = await hodei(platform, "schedules", "pause", name)
    assert code == 1
    assert err == f"hodei: several schedules have the name {name!r}; give the id of one:\n  {other.id}\n  {id}\n"
    await client.delete_schedule(other.id)
    await client.delete_schedule(id)


async def test_a_crontab_is_imported_and_a_second_import_changes_nothing(
    own_platform: Platform, client: Client, tmp_path: Path
) -> None:
    source, file, made = unique("crontab"), tmp_path / "crontab", tmp_path / "made"
    file.write_text(CRONTAB.format(file=made))
    arguments = ("import-crontab", str(file), "--source", source, "--timezone", "UTC")

    async def actions(*more: str) -> list[str]:
        return [one["action"] for one in await lines(own_platform, *arguments, *more)]

    async def imported() -> dict[str, Any]:
        return {one.cron: one async for one in client.schedules() if one.labels.get("crontab") == source}

    assert await actions("--dry-run") == ["created"] * 3
    assert await imported() == {}
    assert await actions() == ["created"] * 3
    before = await imported()
    assert await actions() == ["unchanged"] * 3
    assert await imported() == before
    nightly, hourly, late = (before[line] for line in ("30 2 * * *", "@hourly", "0 9 * * mon-fri"))
    assert nightly.name.startswith('echo "$GREETING" (crontab')
    assert (nightly.timezone, nightly.env) == ("Europe/Madrid", {"GREETING": "good  morning"})
    assert (late.jitter, hourly.jitter) == (300, None or 0)

    firing = await client.trigger_schedule(nightly.id)
    await client.trigger_schedule(hourly.id)

    async def wrote() -> bool | None:
        return (made.exists() and made.read_text() == "one\n100% two\n") or None

    assert await eventually(wrote)
    assert firing.job_id is not None

    async def greeted() -> bool | None:
        done = [job async for job in client.jobs(schedule_id=nightly.id, status=JobStatus.SUCCEEDED)]
        return bool(done) or None

    assert await eventually(greeted)
    assert await expect.output(client, firing.job_id) == ["good  morning"]

    file.write_text(CRONTAB.format(file=made).replace("30 2 * * *", "45 2 * * *").replace("@hourly", "@daily"))
    await client.pause_schedule(nightly.id)
    assert await actions("--dry-run") == ["updated", "updated", "unchanged"]
    assert await actions() == ["updated", "updated", "unchanged"]
    after = await imported()
    assert {one.id for one in after.values()} == {one.id for one in before.values()}
    assert after["45 2 * * *"].id == nightly.id
    assert after["45 2 * * *"].status is ScheduleStatus.PAUSED
    code, out, err = await hodei(own_platform, "schedules", *arguments, "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "3 unchanged"
    for one in after.values():
        await client.delete_schedule(one.id)


async def test_a_crontab_with_errors_is_not_imported(platform: Platform, client: Client, tmp_path: Path) -> None:
    source, file = unique("bad"), tmp_path / "crontab"
    file.write_text("@daily true\n61 * * * * true\n@reboot true\n0 0 30 2 * true\nCRON_TZ=Europe/Madird\n")
    arguments = ("schedules", "import-crontab", str(file), "--source", source, "--timezone", "UTC")

    code, out, err = await hodei(platform, *arguments)

    assert (code, err) == (1, "hodei: 4 errors; nothing is imported\n")
    assert [line.removeprefix(f"{file}:") for line in out.splitlines()] == [
        "2: 61 is not a minute (0 to 59)",
        "3: @reboot is not a time: leave this line to the machine's own cron",
        "4: never comes due: day 30 is in none of its months",
        "5: CRON_TZ: 'Europe/Madird' is not a known time zone; did you mean Europe/Madrid?",
    ]
    assert [one async for one in client.schedules() if one.labels.get("crontab") == source] == []
    code, out, _ = await hodei(platform, *arguments, "--skip-errors")
    assert (code, out.splitlines()[-1]) == (1, "1 created")
    [one] = [one async for one in client.schedules() if one.labels.get("crontab") == source]
    assert one.next_run_at is not None
    assert one.next_run_at > datetime.now(UTC)
    await client.delete_schedule(one.id)


async def test_a_system_crontab_keeps_its_users_as_labels(platform: Platform, client: Client, tmp_path: Path) -> None:
    source, file = unique("system"), tmp_path / "crontab"
    file.write_text("SHELL=/bin/sh\n17 * * * * root cd / && run-parts /etc/cron.hourly\n")

    code, out, err = await hodei(
        platform, "schedules", "import-crontab", str(file), "--system", "--source", source, "--working-dir", "/tmp"
    )

    assert code == 0
    assert "cd / && run-parts" in out
    assert "jobs run as their worker's user" in err
    assert "this machine's time zone" in err
    [one] = [one async for one in client.schedules() if one.labels.get("crontab") == source]
    assert one.labels["crontab.user"] == "root"
    await client.delete_schedule(one.id)
