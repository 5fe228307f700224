"""What the models of the REST side accept of names, times and commands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.model import Model, readable_location
from schemas.rest.executions import ExecuteRequest
from schemas.rest.jobs import JobCreate, RerunRequest
from schemas.rest.pipelines import PipelineCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import WorkerHeartbeat, WorkerRegister, WorkerStart
from schemas.specs import Capacity, Resources, RetrySpec, StepSpec

REQUESTS: dict[type[Model], dict[str, Any]] = {
    JobCreate: {"command": "true"},
    PipelineCreate: {"name": "p"},
    ScheduleCreate: {"command": "true"},
    ExecuteRequest: {"command": "true"},
    RerunRequest: {},
    WorkerRegister: {},
    WorkerHeartbeat: {},
    WorkerStart: {},
    StepSpec: {"name": "s", "command": "true"},
    RetrySpec: {},
    Resources: {},
    Capacity: {},
}
"""Everything that a person sends, with what it needs at the least."""


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


@pytest.mark.parametrize(
    "moment", ["20300101", "20300101120000", "1", "1893456000.5", "2e9", "2030-01-01", "", "2030-02-30T00:00Z"]
)
def test_a_time_that_is_not_written_out_is_refused(moment: str) -> None:
    with pytest.raises(ValidationError, match="should be a time with a time zone, like 2026-11-28T12:00:00Z"):
        JobCreate.model_validate({"command": "true", "run_at": moment})


@pytest.mark.parametrize(
    "moment",
    ["2030-01-01T00:00:00Z", "2030-01-01t00:00:00.5z", "2030-01-01 01:30+01:30", "2030-01-01T00:00:00.1234567Z"],
)
def test_a_time_that_is_written_out_is_taken_from_json_as_strict_as_the_services(moment: str) -> None:
    job = JobCreate.model_validate_json(json.dumps({"command": "true", "run_at": moment}), strict=True)
    assert job.run_at is not None
    assert job.run_at.replace(microsecond=0).isoformat() == "2030-01-01T00:00:00+00:00"


def test_a_time_whose_plus_became_a_space_says_so() -> None:
    with pytest.raises(ValidationError, match="in a query, \\+ is written %2B"):
        JobCreate.model_validate({"command": "true", "run_at": "2030-01-01T00:00:00 01:00"})


@pytest.mark.parametrize("model", REQUESTS)
def test_null_means_absent_in_every_field_that_may_be_absent(model: type[Model]) -> None:
    least = REQUESTS[model]
    optional = {field.alias or name: None for name, field in model.model_fields.items() if not field.is_required()}

    sent = json.dumps({**optional, **least})

    assert model.model_validate_json(sent, strict=True) == model.model_validate_json(json.dumps(least), strict=True)


def test_null_beside_a_pipeline_is_not_a_field_of_a_step() -> None:
    fields = dict.fromkeys(set(JobCreate.model_fields) - {"pipeline_id"})
    assert JobCreate.model_validate_json(json.dumps({"pipeline_id": "p", **fields}), strict=True).pipeline_id == "p"
    with pytest.raises(ValidationError, match="timeout: only with an inline command"):
        JobCreate.model_validate({"pipeline_id": "p", "timeout": 5})


@pytest.mark.parametrize("model", [JobCreate, ScheduleCreate])
def test_parameters_beside_a_single_command_are_refused(model: type[Model]) -> None:
    with pytest.raises(ValidationError, match="params belong to a job of a pipeline"):
        model.model_validate({"command": "true", "params": {"a": "1"}})


@pytest.mark.parametrize(
    "name",
    [
        *("\x1b[2Jred", "two\nlines", "\x7f", "\x9bred", "line\u2028line", "line\u2029line", "\ufeffmark"),
        *("\u202ebackwards", "\u202aleft", "\u2066isolate", "\u2069", "\u200fmark", "\u061cmark", "\U000e0001"),
        *("   ", "", "\u3000", "\u00a0\u200d", "\u200b"),
    ],
)
def test_a_name_cannot_act_where_it_is_shown(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        JobCreate.model_validate({"command": "true", "name": name})


@pytest.mark.parametrize(
    "name",
    [
        *("nightly build", "Überprüfung №5", "构建", "a" * 200),
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a zero-width non-joiner
        *("夜間\u3000バッチ", "a\u00a0b", "ภาษา\u200bไทย"),  # an ideographic space, a no-break space, a place to break
        *("\U0001f469\u200d\U0001f527", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
        *("\U0001fae8", "\ue0b0"),  # newer than this Python's Unicode, and of a private use
    ],
)
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


@pytest.mark.parametrize("labels", [{"stage": "a\x1b[31m"}, {"stage": "x" * 201}, {"": "v"}, {"stage": 1}])
def test_labels_of_steps_are_refused_as_those_of_jobs_are(labels: dict[str, Any]) -> None:
    def fault(model: type[Model], document: dict[str, Any]) -> tuple[Any, str]:
        with pytest.raises(ValidationError) as caught:
            model.model_validate(document)
        [error] = caught.value.errors()
        location = readable_location(error["loc"])
        return location[location.index("labels") :], error["msg"]

    step = {"name": "s", "command": "true", "labels": labels}
    of_step = fault(PipelineCreate, {"name": "p", "steps": [step]})
    assert of_step == fault(JobCreate, {"command": "true", "labels": labels})


def test_where_an_error_is_is_told_in_the_clients_words() -> None:
    with pytest.raises(ValidationError) as refused:
        JobCreate.model_validate({"command": ["echo", 5]})
    assert {readable_location(error["loc"]) for error in refused.value.errors()} == {("command", 1)}


@pytest.mark.parametrize("control", ["\x00", "\x1b[31m", "\n", "\x7f", "\x85", "\x9b2J", "\u202e", "\u2028"])
@pytest.mark.parametrize(
    ("model", "fields", "loc"),
    [
        (JobCreate, {"labels": {"team": "…"}}, ("labels", "team")),
        (JobCreate, {"requires": {"zone": "…"}}, ("requires", "zone")),
        (ScheduleCreate, {"labels": {"team": "…"}}, ("labels", "team")),
        (ScheduleCreate, {"requires": {"zone": "…"}}, ("requires", "zone")),
        (ExecuteRequest, {"requires": {"zone": "…"}}, ("requires", "zone")),
        (PipelineCreate, {"steps": [{"name": "s", "command": "true", "requires": {"zone": "…"}}]}, ("steps",)),
        (WorkerRegister, {"type": "…"}, ("type",)),
        (WorkerRegister, {"labels": {"zone": "…"}}, ("labels", "zone")),
        (WorkerHeartbeat, {"labels": {"zone": "…"}}, ("labels", "zone")),
        (WorkerStart, {"type": "…"}, ("type",)),
        (WorkerStart, {"labels": {"zone": "…"}}, ("labels", "zone")),
    ],
)
def test_types_and_labels_have_no_characters_that_act(
    model: type[Model], fields: dict[str, Any], loc: tuple[str, ...], control: str
) -> None:
    def filled(value: Any, text: str) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner, text) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner, text) for inner in value]
        return text if value == "…" else value

    model.model_validate(REQUESTS[model] | filled(fields, "größer als 名前"))
    with pytest.raises(ValidationError) as caught:
        model.model_validate(REQUESTS[model] | filled(fields, f"a{control}b"))
    [error] = caught.value.errors()
    assert readable_location(error["loc"]) == loc
    assert "must not contain characters that control a terminal" in error["msg"]
    if model is PipelineCreate:
        assert "step s: requires zone must not" in error["msg"]


@pytest.mark.parametrize("key", ["a\nb", "a\x1bb", "a\x7f", "a\n"])
def test_a_labels_key_has_no_characters_that_act(key: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        JobCreate.model_validate({"command": "true", "labels": {key: "v"}})


def test_a_step_that_was_accepted_before_is_still_read() -> None:
    assert StepSpec.model_validate({"name": "s", "command": "true", "requires": {"zone": "a\x1bb"}}).requires
