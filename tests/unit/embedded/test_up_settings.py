"""What `hodei up` reads from the environment, and what it shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hodei.cli import app
from hodei.embedded.errors import EmbeddedError
from hodei.up import _without_password
from hodei.up_settings import UpSettings


def test_an_empty_environment_gives_the_promised_ports() -> None:
    settings = UpSettings.read({})
    assert settings.ports == {"orchestrator": 8080, "scheduler": 8081, "worker_manager": 8082}
    assert settings.data_dir == Path.cwd() / ".hodei"
    assert settings.worker_slots >= 8
    assert (settings.nats_url, settings.database_url) == (None, None)


def test_the_option_goes_before_the_variable() -> None:
    assert UpSettings.read({"HODEI_DATA_DIR": "/a"}).data_dir == Path("/a")
    assert UpSettings.read({"HODEI_DATA_DIR": "/a"}, data_dir=Path("/b")).data_dir == Path("/b")


@pytest.mark.parametrize(
    ("arguments", "variable", "folder"),
    [([], None, ".hodei"), ([], "/a", "/a"), (["--data-dir", "/b"], "/a", "/b"), (["--data-dir", "/b"], None, "/b")],
)
def test_the_command_line_leaves_the_folder_to_the_variable(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, folder: str
) -> None:
    read: list[UpSettings] = []

    def run(*, data_dir: Path | None, verbose: bool) -> int:
        read.append(UpSettings.read({"HODEI_DATA_DIR": variable} if variable else {}, data_dir=data_dir))
        return 0

    monkeypatch.setattr("hodei.up.run", run)

    assert CliRunner().invoke(app, ["up", *arguments]).exit_code == 0

    assert [settings.data_dir for settings in read] == [Path(folder).absolute()]


def test_an_empty_variable_counts_as_not_set() -> None:
    names = ("HODEI_DATA_DIR", "HODEI_HOST", "NATS_URL", "DATABASE_URL", "NATS_PORT", "SCHEDULER_PORT")
    assert UpSettings.read(dict.fromkeys(names, "")) == UpSettings.read({})


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--data-dir", ""],
        ["demo", ""],
        *(["worker", f"--{option}", ""] for option in ("state-dir", "nats-url", "name", "type", "capacity")),
    ],
    ids=" ".join,
)
def test_an_empty_option_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    for ran in ("hodei.up.run", "hodei.demo.run", "os.execve"):
        monkeypatch.setattr(ran, lambda *_, **__: pytest.fail("it ran"))
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "empty" in refused.output


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCHEDULER_PORT", "-1"), ("NATS_PORT", "0"), ("POSTGRES_PORT", "65536"), ("HODEI_WORKER_SLOTS", "x")],
)
def test_a_value_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(EmbeddedError, match=f"^{name}='{value}': should be a number from"):
        UpSettings.read({name: value})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("zone", "labels are written key=value,key=value"),
        ("a b=c", "'a b' is not a label's key, which begins with a letter"),
        ("{1", "or as a JSON object"),
    ],
)
def test_labels_that_cannot_be_are_refused(value: str, says: str) -> None:
    with pytest.raises(EmbeddedError, match=f"^HODEI_WORKER_LABELS: .*{says}"):
        UpSettings.read({"HODEI_WORKER_LABELS": value})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("gpu", "a capacity is written cpu_m="),
        ("gpus=1", "'gpus' is not one of cpu_m, memory_mb, gpu"),
        ("gpu=-1", "gpu should be greater than or equal to 0"),
        ("gpu=1.5", "gpu should be a whole number"),
        ("gpu=1,gpu=2", "a name is used twice"),
    ],
)
def test_a_capacity_that_cannot_be_is_refused(value: str, says: str) -> None:
    with pytest.raises(EmbeddedError, match=f"^HODEI_WORKER_CAPACITY: {says}"):
        UpSettings.read({"HODEI_WORKER_CAPACITY": value})


@pytest.mark.parametrize(
    ("host", "reach"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")]
)
def test_a_wildcard_host_is_reached_on_loopback(host: str, reach: str) -> None:
    assert UpSettings.read({"HODEI_HOST": host}).reach == reach


def test_a_password_is_never_shown() -> None:
    assert _without_password("postgresql://me:secret@db:5432/x") == "postgresql://me:***@db:5432/x"
    assert _without_password("nats://127.0.0.1:4222") == "nats://127.0.0.1:4222"
