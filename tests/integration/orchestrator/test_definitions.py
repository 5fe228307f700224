"""Pipelines that are checked and planned without being stored, from JSON and from the text of a file."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hodei import demo
from orchestrator.api import definitions
from orchestrator.domain.yaml_text import read
from tests.integration.orchestrator.conftest import House

VALIDATE = "/api/v1/pipelines/validate"
PLAN = "/api/v1/pipelines/plan"

EXAMPLE = json.loads(Path(demo.EXAMPLE).read_bytes())

GOOD = """\
name: nightly
env: &env {MODE: "on"}
steps:
  fetch:
    command: git pull
  test:
    command: make test
    needs: fetch
    env:
      <<: *env
      RETRIES: "3"
  report:
    command: [echo, done]
    type: exec
    depends_on: [fetch, test]
    when: always
"""

BAD = """\
name: nightly
tiemout: 60
steps:
  - name: fetch
    command: git pull
    timeout: -1
    env: {PORT: 8080}
  - name: test
    comand: make test
    needs: [fetch, biuld]
  - name: fetch
    command: "true"
    depends_on: [test]
    when: sometimes
  - command: "true"
    name: left
    depends_on: [right]
  - {name: right, command: "true", depends_on: [left]}
  - {name: alone, command: "true", when: always}
"""


def places(problem: Any) -> list[tuple[int, int, str, str]]:
    return [
        (error["line"], error["column"], ".".join(map(str, error["loc"][1:])), error["type"])
        for error in problem["errors"]
    ]


async def test_a_valid_pipeline_is_answered_with_all_its_fields_and_not_stored(house: House) -> None:
    answer = await house.post(VALIDATE, {"yaml": GOOD}, status=200)
    pipeline = answer["pipeline"]
    assert [(step["name"], step["depends_on"], step["when"]) for step in pipeline["steps"]] == [
        ("fetch", [], "on_success"),
        ("test", ["fetch"], "on_success"),
        ("report", ["fetch", "test"], "always"),
    ]
    assert pipeline["steps"][1]["env"] == {"MODE": "on", "RETRIES": "3"}
    assert pipeline["steps"][0]["max_crashes"] == 3
    assert await house.get("/api/v1/pipelines") == []
    assert (await house.post(VALIDATE, pipeline, status=200)) == answer
    made = await house.post("/api/v1/pipelines", pipeline)
    assert made["steps"] == pipeline["steps"]


async def test_all_errors_of_a_text_come_at_once_with_line_and_column(house: House) -> None:
    problem = await house.post(VALIDATE, {"yaml": BAD}, status=422)
    assert places(problem) == [
        (2, 1, "tiemout", "unknown"),
        (6, 14, "steps.0.timeout", "greater_than"),
        (7, 17, "steps.0.env.PORT", "string_type"),
        (8, 5, "steps.1.command", "missing"),
        (9, 5, "steps.1.comand", "unknown"),
        (10, 20, "steps.1.depends_on.1", "unknown_step"),
        (11, 11, "steps.2.name", "repeated_step"),
        (14, 11, "steps.2.when", "literal_error"),
        (19, 42, "steps.5", "value_error"),
    ]
    says = {error["type"]: error["msg"] for error in problem["errors"]}
    assert says["string_type"] == 'should be a string: put it in quotes, "8080"'
    assert says["unknown"] == "unknown field comand; did you mean command?"


async def test_a_command_that_is_not_text_is_shown_in_quotes(house: House) -> None:
    problem = await house.post(VALIDATE, {"yaml": "name: x\nsteps:\n  a: {command: true}\n"}, status=422)
    assert [(error["msg"], error["column"]) for error in problem["errors"]] == [
        ('a command is a string or a list of strings: put it in quotes, "true"', 16)
    ]


async def test_a_field_of_another_system_is_told_its_name_here(house: House) -> None:
    step = "{command: x, script: [y], runs-on: z, timeout-minutes: 5, strategy: {matrix: {}}, comand: x}"
    problem = await house.post(VALIDATE, {"yaml": f"name: x\nscript: y\nsteps:\n  a: {step}\n"}, status=422)
    assert [error["msg"].partition("; valid")[0] for error in problem["errors"]] == [
        "unknown field script; did you mean description?",  # of the pipeline, which has no command
        "unknown field script; here it is command",
        "unknown field runs-on; here it is requires",
        "unknown field timeout-minutes; here it is timeout, in seconds",
        "unknown field strategy; here it is matrix, with max_parallel and fail_fast in it",
        "unknown field comand; did you mean command?",
    ]


async def test_a_cycle_is_found_beside_errors_of_fields(house: House) -> None:
    text = "name: 5\nsteps:\n  a: {command: x, needs: b}\n  b: {command: y, needs: a, timeout: soon}\n"
    problem = await house.post(VALIDATE, {"yaml": text}, status=422)
    assert places(problem) == [
        (1, 7, "name", "string_type"),
        (3, 19, "steps.0.depends_on", "cycle"),
        (4, 38, "steps.1.timeout", "float_type"),
    ]


async def test_the_errors_of_json_are_the_same_without_lines(house: House) -> None:
    steps = [{"name": "a", "command": "x", "timeout": -1}, {"name": "a", "command": "y", "depends_on": ["z"]}]
    for path, body, before in ((VALIDATE, {"steps": steps}, []), (PLAN, {"pipeline": {"steps": steps}}, ["pipeline"])):
        problem = await house.post(path, body, status=422)
        assert [(error["loc"], error["type"]) for error in problem["errors"]] == [
            (["body", *before, "name"], "missing"),
            (["body", *before, "steps", 0, "timeout"], "greater_than"),
            (["body", *before, "steps", 1, "name"], "repeated_step"),
            (["body", *before, "steps", 1, "depends_on", 0], "unknown_step"),
        ]
        assert all("line" not in error for error in problem["errors"])


@pytest.mark.parametrize(
    ("text", "loc", "place", "kind"),
    [
        ("", ["body", "yaml"], (1, 1), "empty"),
        ("- a", ["body", "yaml"], (1, 1), "not_a_map"),
        ("name: x\nname: y", ["body", "name"], (2, 1), "repeated_key"),
        ("name: x\nenv:\n\tA: b", ["body", "env"], (3, 1), "yaml_syntax"),
        ("name: !env X", ["body", "name"], (1, 7), "tag"),
        ("name: x\nsteps: {a: {name: b, command: c}}", ["body", "steps", 0, "name"], (2, 13), "repeated_name"),
        ("name: " + "x" * 1_000_000, ["body", "yaml"], (1, 1), "too_large"),
        ('name: "a\\0b"', ["body", "name"], (1, 7), "nul_character"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
         "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
         "e: [*d, *d, *d, *d, *d, *d, *d]", ["body", "e", 5], (5, 25), "too_large"),
    ],
)  # fmt: skip
async def test_a_text_that_cannot_be_read_is_422_with_the_place(
    house: House, text: str, loc: list[object], place: tuple[int, int], kind: str
) -> None:
    for path in (VALIDATE, PLAN):
        problem = await house.post(path, {"yaml": text}, status=422)
        [error] = problem["errors"]
        assert (error["loc"], (error["line"], error["column"]), error["type"]) == (loc, place, kind)
    assert await house.get("/api/v1/pipelines") == []


async def test_a_body_that_is_neither_is_refused(house: House) -> None:
    problem = await house.post(VALIDATE, {"yaml": "name: x", "name": "y"}, status=422)
    assert [error["loc"] for error in problem["errors"]] == [["body", "name"]]
    for body in ({}, {"yaml": "name: x", "pipeline": {"name": "x"}}):
        problem = await house.post(PLAN, body, status=422)
        assert "exactly one of pipeline, yaml is needed" in problem["errors"][0]["msg"]
    await house.post(VALIDATE, [], status=422)
    async with house.http.post(house.url + VALIDATE, data=b"{") as answer:
        assert answer.status == 400


async def test_a_plan_shows_the_tasks_of_a_job_that_is_not_made(house: House) -> None:
    plan = await house.post(PLAN, {"yaml": GOOD, "params": {"URL": "x"}}, status=200)
    assert [(task["name"], task["depends_on"], task["when"]) for task in plan["tasks"]] == [
        ("fetch", [], "on_success"),
        ("test", ["fetch"], "on_success"),
        ("report", ["fetch", "test"], "always"),
    ]
    assert [task["decided_at_run_time"] for task in plan["tasks"]] == [[], [], ["when"]]
    assert plan["tasks"][2]["command"] == ["echo", "done"]
    assert await house.get("/api/v1/jobs") == []
    problem = await house.post(PLAN, {"yaml": GOOD, "params": {"url": "a", "URL": "b"}}, status=422)
    assert problem["errors"][0]["loc"] == ["body", "params"]


async def test_a_pipeline_that_is_too_large_to_run_is_refused(house: House) -> None:
    big = {f"V{n}": "x" * 100_000 for n in range(5)}
    steps = [{"name": f"s{n}", "command": "true"} for n in range(20)]
    problem = await house.post(VALIDATE, {"name": "x", "env": big, "steps": steps}, status=422)
    assert [(error["loc"], error["type"]) for error in problem["errors"]] == [(["body", "env"], "too_large")]


async def test_the_event_loop_goes_on_while_a_long_text_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()
    read = definitions.read_document

    def held(text: str) -> Any:
        reading.set()
        assert go_on.wait(10)
        return read(text)

    monkeypatch.setattr(definitions, "read_document", held)
    text = "name: x\n" + "# comment\n" * 1000
    first, second = (asyncio.create_task(house.post(VALIDATE, {"yaml": text}, status=200)) for _ in range(2))
    await asyncio.to_thread(reading.wait, 10)
    await house.get("/api/v1/pipelines")
    go_on.set()
    assert (await first)["pipeline"]["name"] == (await second)["pipeline"]["name"] == "x"


@pytest.mark.parametrize("route", ["create", "update", "validate", "plan"])
async def test_the_event_loop_goes_on_while_a_large_pipeline_is_checked(
    house: House, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    small = await house.post("/api/v1/pipelines", {"name": "x"}, status=201)
    checking, go_on = threading.Event(), threading.Event()
    check = definitions.check

    def held(*given: Any) -> None:
        checking.set()
        assert go_on.wait(10)
        check(*given)

    monkeypatch.setattr(definitions, "check", held)
    large = {"name": "x", "steps": [{"name": f"s{n}", "command": "true", "if": f"{n} == 1"} for n in range(100)]}
    calls = {
        "create": lambda: house.post("/api/v1/pipelines", large, status=201),
        "update": lambda: house.call("PUT", f"/api/v1/pipelines/{small['id']}", large, status=200),
        "validate": lambda: house.post(VALIDATE, large, status=200),
        "plan": lambda: house.post(PLAN, {"pipeline": large}, status=200),
    }
    first = asyncio.create_task(calls[route]())
    assert await asyncio.to_thread(checking.wait, 10)
    await house.get("/api/v1/pipelines")
    assert not first.done()
    go_on.set()
    await first


async def test_the_schema_is_valid_and_takes_what_the_service_takes(house: House) -> None:
    schema = await house.get("/schemas/pipeline.json")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    mapped = {
        "name": "x",
        "steps": {
            "a": {"command": "true"},
            "b": {"command": ["true"], "type": "exec", "needs": "a", "retry": {"max_attempts": 2}},
            "c": {"command": "true", "depends_on": ["a", "b"], "env": {"A": "b"}, "if": "true", "when": "always"},
        },
    }
    for good in (EXAMPLE, mapped, {"name": "x"}):
        validator.validate(good)
    bad: list[dict[str, object]] = [
        {},
        {"name": "x", "step": []},
        {"name": "x", "steps": {"a b": {"command": "true"}}},
        {"name": "x", "steps": {"a": {"name": "a", "command": "true"}}},
        {"name": "x", "steps": {"a": {}}},
        {"name": "x", "steps": [{"command": "true"}]},
        {"name": "x", "steps": [{"name": "a", "command": "true", "needs": "b", "depends_on": "b"}]},
        {"name": "x", "steps": [{"name": "a", "command": "true", "env": {"A-B": "c"}}]},
        {"name": "x", "timeout": "60"},
    ]
    assert [one for one in bad if validator.is_valid(one)] == []


async def test_what_only_follows_from_a_field_that_cannot_be_read_is_not_reported(house: House) -> None:
    text = """\
name: x
steps:
  a: {command: x, needs: 5}
  b: {command: x, needs: a, env: {V: "${{ steps.first.outputs.X }}"}}
  first: {command: x}
"""
    problem = await house.post(VALIDATE, {"yaml": text}, status=422)
    assert places(problem) == [(3, 26, "steps.0.depends_on", "list_type")]
    problem = await house.post(VALIDATE, {"yaml": text.replace("needs: 5", "timeout: 0")}, status=422)
    assert [place[:3] for place in places(problem)] == [(3, 28, "steps.0.timeout"), (4, 38, "steps.1.env.V")]


async def test_a_plan_shows_the_values_that_are_known_and_names_the_fields_that_are_not(house: House) -> None:
    text = """\
name: x
params:
  target: {type: choice, choices: [x86, arm], required: true}
  level: {type: integer, default: 2}
steps:
  build:
    command: make
    env: {TARGET: "${{ params.target }}-${{ params.level }}", ID: "${{ job.id }}", PLAIN: "$${{ x }}"}
  pack:
    command: [tar, "${{ steps.build.outputs.FILE }}", "${{ params.target }}"]
    type: exec
    working_dir: /srv/${{ params.target }}
    needs: build
    when: always
"""
    plan = await house.post(PLAN, {"yaml": text, "params": {"target": "arm", "level": "3"}}, status=200)
    build, pack = plan["tasks"]
    assert build["env"] == {"TARGET": "arm-3", "ID": "${{ job.id }}", "PLAIN": "${{ x }}"}
    assert build["decided_at_run_time"] == ["env.ID"]
    assert (pack["working_dir"], pack["if"]) == ("/srv/arm", None)
    assert pack["command"] == ["tar", "${{ steps.build.outputs.FILE }}", "${{ params.target }}"]
    assert pack["decided_at_run_time"] == ["when", "command"]
    problem = await house.post(PLAN, {"yaml": text, "params": {"target": "riscv", "levl": 1}}, status=422)
    assert sorted(tuple(error["loc"]) for error in problem["errors"]) == [
        ("body", "params", "levl"),
        ("body", "params", "target"),
    ]
    free = {"name": "x", "steps": [{"name": "a", "command": "true", "env": {"V": "${{ params.v }}"}}]}
    problem = await house.post(PLAN, {"pipeline": free}, status=422)
    assert [(error["loc"], error["type"]) for error in problem["errors"]] == [(["body", "params"], "bad_expression")]
    assert "step 'a' cannot be started" in problem["errors"][0]["msg"]
    plan = await house.post(PLAN, {"pipeline": free, "params": {"v": "w"}}, status=200)
    assert plan["tasks"][0]["env"] == {"V": "w"}


async def test_at_most_500_errors_are_listed_in_the_order_of_the_text(house: House) -> None:
    steps = ", ".join(["{a: 1, b: 1, c: 1, d: 1}"] * 900)
    problem = await house.post(VALIDATE, {"yaml": f"name: x\nsteps: [{steps}]"}, status=422)
    assert len(problem["errors"]) == 500
    columns = [error["column"] for error in problem["errors"]]
    assert columns == sorted(columns)
    unknown = {f"field{n}": 1 for n in range(20_000)}
    for path, body in ((VALIDATE, unknown), ("/api/v1/pipelines", unknown)):
        assert len((await house.post(path, body, status=422))["errors"]) == 500
    names = [f"other{n}" for n in range(1000)]
    steps_ = [{"name": "a", "command": "true", "depends_on": names}]
    assert len((await house.post(VALIDATE, {"name": "x", "steps": steps_}, status=422))["errors"]) == 500


async def test_a_plan_has_a_task_for_each_combination_of_a_matrix(house: House) -> None:
    text = """\
name: x
steps:
  test:
    command: make check
    env: {PYTHON: "${{ matrix.python }}"}
    matrix: {python: ["3.11", "3.12"], os: [debian]}
  report: {command: "true", needs: test}
"""
    Draft202012Validator(await house.get("/schemas/pipeline.json")).validate(read(text).plain())
    plan = await house.post(PLAN, {"yaml": text}, status=200)
    assert [(task["name"], task["index"], task["matrix"], task["env"]) for task in plan["tasks"]] == [
        ("test", 0, {"python": "3.11", "os": "debian"}, {"PYTHON": "3.11"}),
        ("test", 1, {"python": "3.12", "os": "debian"}, {"PYTHON": "3.12"}),
        ("report", None, None, {}),
    ]
    bad = text.replace('["3.11", "3.12"]', "[[1]]").replace("os: [debian]", "os: []")
    problem = await house.post(VALIDATE, {"yaml": bad}, status=422)
    assert {place[:2] for place in places(problem)} == {(6, 23), (6, 29)}
