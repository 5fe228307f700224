"""What the environment and the data folder's path say reaches the worker and the servers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hodei.cli import app
from hodei.embedded.nats import quoted


def test_hodei_worker_keeps_the_type_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[str, str]] = []

    def execve(_program: str, _arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        seen.append(environment)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("HODEI_WORKER_TYPE", "gpu")
    CliRunner().invoke(app, ["worker"])
    CliRunner().invoke(app, ["worker", "--type", "cpu"])
    assert [environment["HODEI_WORKER_TYPE"] for environment in seen] == ["gpu", "cpu"]


def test_a_path_that_is_not_ascii_stands_in_the_configuration_of_nats_as_it_is() -> None:
    assert quoted(Path('/home/é/a "b" \\c\n')) == r'"/home/é/a \x22b\x22 \x5cc\x0a"'
