"""What docs/schedules.md says of cron lines and crontabs is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.generate import HERE
from hodei.cli import app
from schemas.recurrence import NICKNAMES, cron_fields
from schemas.rest.schedules import ScheduleCreate, SchedulePatch

PAGE = (HERE / "schedules.md").read_text()
COMMANDS = [
    *re.findall(r"^hodei schedules .*?(?=\s{2,}#|$)", PAGE, re.MULTILINE),
    *(line.replace("'…'", "'x'") for line in re.findall(r"`(hodei schedules add [^`]*)`", PAGE)),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_pages_commands_are_right(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get as far as the platform, which is not there."""
    for service in ("ORCHESTRATOR", "SCHEDULER", "WORKER_MANAGER"):
        monkeypatch.setenv(f"HODEI_{service}_URL", "http://127.0.0.1:9")
    words = shlex.split(command)[1:]
    if "import-crontab" in words:
        (tmp_path / "crontab.txt").write_text("@daily true\n")
        monkeypatch.chdir(tmp_path)

    ended = CliRunner().invoke(app, words)

    assert ended.exit_code == 1, ended.output
    assert "127.0.0.1:9" in ended.stderr


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("line", re.findall(r"`((?:[\d*][\d*/,-]* ){2}[^`\n]*)`", PAGE))
def test_the_pages_cron_lines_are_right(line: str) -> None:
    fields = " ".join(line.split()[:5])
    if fields == "0 0 30 2 *":
        with pytest.raises(ValueError, match="never comes due"):
            cron_fields(fields)
    else:
        assert cron_fields(fields)


def test_every_nickname_and_field_is_on_the_page() -> None:
    fields = {*ScheduleCreate.model_fields} & {*SchedulePatch.model_fields}
    step = {
        "type",
        "working_dir",
        "timeout",
        "queue_timeout",
        "retry",
        "retry_on_lost",
        "max_crashes",
        "requires",
        "resources",
    }

    assert [name for name in NICKNAMES if f"`{name}`" not in PAGE] == []
    assert [name for name in sorted(fields - step) if f"`{name}`" not in PAGE] == []
