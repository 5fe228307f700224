"""The join token of `hodei worker`: from a file, standard input or the command line to the agent."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hodei.cli import app
from schemas.enrolment import JoinTokenText

ID = "01a20000-0000-7000-8000-000000000001"
CLAIMS = base64.urlsafe_b64encode(json.dumps({"name": ID}).encode()).decode().rstrip("=")
TOKEN = JoinTokenText(ID, f"eyJh.{CLAIMS}.c2ln", "SU" + "A" * 56).text


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the agent's process would get."""
    got: dict[str, str] = {}

    def execve(_program: str, arguments: list[str], environment: dict[str, str]) -> None:
        got["arguments"] = " ".join(arguments)
        got["environment"] = " ".join(environment.values())
        with open(environment["HODEI_JOIN"], encoding="ascii") as file:
            got["token"] = file.read().strip()
        got["path"] = environment["HODEI_JOIN"]
        if got["path"].startswith("/dev/fd/"):
            assert os.get_inheritable(int(Path(got["path"]).name))
            os.close(int(Path(got["path"]).name))

    monkeypatch.setattr(os, "execve", execve)
    return got


def test_a_file_is_named_to_the_agent(handed_on: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "join").write_text(TOKEN + "\n")
    CliRunner().invoke(app, ["worker", "--join", str(tmp_path / "join")], catch_exceptions=False)
    assert (handed_on["token"], handed_on["path"]) == (TOKEN, str(tmp_path / "join"))


@pytest.mark.parametrize(("given", "stdin"), [("-", TOKEN + "\n"), (TOKEN, "")])
def test_a_text_goes_into_a_descriptor(handed_on: dict[str, str], given: str, stdin: str) -> None:
    CliRunner().invoke(app, ["worker", "--join", given], input=stdin, catch_exceptions=False)
    assert handed_on["token"] == TOKEN
    assert "SUAAAA" not in handed_on["arguments"] + handed_on["environment"]


@pytest.mark.parametrize(
    ("given", "stdin", "words"),
    [
        ("/nowhere/join", "", "'--join': /nowhere/join: No such file or directory"),
        ("-", "", "'--join': there is no join token: the text is empty"),
        ("hodei_join_x", "", "'--join': the join token is incomplete or mistyped: it has 12 characters"),
        ("", "", "'--join': must not be empty"),
    ],
)
def test_what_is_not_a_join_token_is_refused(given: str, stdin: str, words: str) -> None:
    result = CliRunner().invoke(app, ["worker", "--join", given], input=stdin)
    assert result.exit_code == 2
    assert words in result.output
