"""What the models of the REST side accept of names, times and commands."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.model import readable_location
from schemas.rest.jobs import JobCreate


@pytest.mark.parametrize(
    "moment",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999Z",  # infinity, to the database's driver
        "0001-01-01T00:00:00Z",
    ],
)
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(moment: str) -> None:
    with pytest.raises(ValidationError, match="years 1970 to 9998"):
        JobCreate.model_validate({"command": "true", "run_at": moment})


@pytest.mark.parametrize("name", ["\x1b[2Jred", "two\nlines", "\u202ebackwards", "   ", ""])
def test_a_name_cannot_act_where_it_is_shown(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        JobCreate.model_validate({"command": "true", "name": name})


@pytest.mark.parametrize("name", ["nightly build", "Überprüfung №5", "构建", "a" * 200])
def test_a_name_may_be_of_any_language(name: str) -> None:
    assert JobCreate.model_validate({"command": "true", "name": name}).name == name


@pytest.mark.parametrize(
    ("command", "where", "says"),
    [
        ("", ("command",), "String should have at least 1 character"),
        ([], ("command",), "List should have at least 1 item after validation, not 0"),
        (["a", 3], ("command", 1), "Input should be a valid string"),
        (5, ("command",), "a command is a string or a list of strings"),
    ],
)
def test_what_is_no_command_is_told_once(command: object, where: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobCreate.model_validate({"command": command})
    assert [(readable_location(one["loc"]), one["msg"]) for one in caught.value.errors()] == [(where, says)]


@pytest.mark.parametrize(
    ("command", "kind", "says"),
    [
        ("echo 'open", "exec", "command: cannot be split into words: No closing quotation"),
        ("é" * 70_000, "shell", "command: an argument of 140000 bytes"),
        (["echo", "é" * 70_000], "exec", "command: an argument of 140000 bytes"),
        (["x" * 1_000] * 200, "shell", "command: an argument of 200199 bytes"),
    ],
)
def test_a_command_that_no_process_could_be_started_with_is_refused(command: object, kind: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        JobCreate.model_validate({"command": command, "type": kind})


@pytest.mark.parametrize(
    ("command", "kind"),
    [("echo 'closed'", "exec"), ("x" * 131_071, "shell"), (["echo", *["x" * 1_000] * 200], "exec")],
)
def test_a_long_command_is_taken(command: object, kind: str) -> None:
    assert JobCreate.model_validate({"command": command, "type": kind}).command == command


def test_where_an_error_is_is_told_in_the_clients_words() -> None:
    with pytest.raises(ValidationError) as refused:
        JobCreate.model_validate({"command": ["echo", 5]})
    assert {readable_location(error["loc"]) for error in refused.value.errors()} == {("command", 1)}
