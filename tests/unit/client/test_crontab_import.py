"""Reading a crontab for an import: where it comes from, and in which time zone its times are."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hodei import crontab_import
from hodei.cli import app
from hodei.crontab import MAX_TEXT
from hodei.crontab_import import machine_zone


def refused(text: bytes, *arguments: str) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["schedules", "import-crontab", *(arguments or ["-"])], input=text)
    return ended.exit_code, ended.stdout, ended.stderr.splitlines()[0]


def test_what_is_not_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("# a\n@daily caf\xe9\n".encode("latin-1"))

    assert refused(b"# a\n@daily caf\xe9\n") == (2, "", "hodei: -:2: the byte 0xe9 is not UTF-8")
    assert refused(b"", str(tmp_path / "latin"))[2] == f"hodei: {tmp_path}/latin:2: the byte 0xe9 is not UTF-8"
    assert refused(b"#" * (MAX_TEXT + 1)) == (2, "", "hodei: -: is longer than 1,048,576 bytes")
    assert refused(b"", str(tmp_path))[2] == f"hodei: {tmp_path}: Is a directory"


def test_faults_are_reported_without_a_platform() -> None:
    assert refused(b"@daily true\nx\n@daily a\0b\n") == (
        1,
        "-:2: is neither a variable, NAME=VALUE, nor five fields of time and a command\n"
        "-:3: a command cannot contain a NUL character\n",
        "hodei: 2 errors; nothing is imported",
    )
    code, out, _ = refused(b"@reboot x\n", "-", "--json")
    assert code == 1
    assert out.startswith('{"file": "-", "line": 1, "msg": "@reboot is not a time')


@pytest.mark.parametrize(
    ("variable", "link", "text", "zone"),
    [
        ("Europe/Berlin", "Asia/Tokyo", "America/Lima", "Europe/Berlin"),
        (":Europe/Berlin", None, None, "Europe/Berlin"),
        ("", "Asia/Tokyo", "America/Lima", "Asia/Tokyo"),
        ("CET-1CEST", None, "America/Lima\n", "America/Lima"),
        ("", "Etc/UTC", None, "UTC"),
        ("", None, "../../etc/passwd", "UTC"),
        ("", None, None, "UTC"),
    ],
)
def test_the_time_zone_is_that_of_the_machine(
    variable: str, link: str | None, text: str | None, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", variable)
    localtime, timezone = tmp_path / "localtime", tmp_path / "timezone"
    if link is not None:
        localtime.symlink_to(tmp_path / "zoneinfo" / link)
    if text is not None:
        timezone.write_text(text)
    monkeypatch.setattr(crontab_import, "_LOCALTIME", localtime)
    monkeypatch.setattr(crontab_import, "_TIMEZONE", timezone)

    assert machine_zone() == zone
