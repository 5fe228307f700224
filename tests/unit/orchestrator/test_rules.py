"""A step's rules as columns: what is written is read again, whatever fields there are."""

from dataclasses import fields, replace

import orjson
import pytest

from orchestrator.domain.definition import StepRules, of_steps
from orchestrator.store.rules import COLUMNS, RULES, rules_of
from schemas.rest.jobs import Task
from schemas.specs import Resources, RetrySpec, RunSpec, StepSpec
from shared.postgres import UnknownParameter

DERIVED = {"matrix", "index", "max_parallel", "fail_fast", "expressions", "approval"}
"""The rules that are not fields of a step: those of a task of a matrix, what is found in the step's
texts, and those of other steps."""
PLAIN = StepRules("a")
RICH = StepRules(
    "b",
    depends_on=("a",),
    allow_failure=True,
    retry=RetrySpec(max_attempts=3, on_exit_codes=[75]),
    retry_on_lost=False,
    max_crashes=0,
    requires={"zone": "north"},
    resources=Resources(cpu_m=500),
    queue_timeout=2.5,
    labels={"stage": "build"},
    when="always",
    condition="params.x == 'y'",
)
IN_MATRIX = replace(
    RICH,
    matrix={"python": "3.12", "count": 3, "fast": True},
    index=1,
    max_parallel=2,
    fail_fast=False,
    expressions=True,
)


@pytest.mark.parametrize("rules", [PLAIN, RICH, IN_MATRIX])
def test_rules_are_read_as_they_were_written(rules: StepRules) -> None:
    written = {column.name: column.write(rules) for column in COLUMNS}
    kept = {
        column.name: orjson.loads(str(value)) if column.cast and value is not None else value
        for column in COLUMNS
        for value in [written[column.name]]
    }
    assert rules_of(kept) == rules


def test_every_field_is_a_column() -> None:
    assert [column.field for column in COLUMNS] == [field.name for field in fields(StepRules)]
    assert {column.name: column.type for column in COLUMNS if not column.cast} == {
        "name": "text",
        "allow_failure": "boolean",
        "retry_on_lost": "boolean",
        "max_crashes": "integer",
        "queue_timeout": "float8",
        "run_when": "text",  # `when` is a reserved word
        "condition": "text",
        "index": "integer",
        "max_parallel": "integer",
        "fail_fast": "boolean",
        "expressions": "boolean",
    }


def test_every_field_of_a_step_is_a_rule_or_part_of_its_command() -> None:
    rules = {field.name for field in fields(StepRules)} - DERIVED | {"matrix"}
    assert StepSpec.model_fields.keys() == rules | RunSpec.model_fields.keys()


def test_a_step_hands_down_every_rule_that_it_states() -> None:
    stated = {name: value for field in fields(StepRules) for name, value in [(field.name, getattr(RICH, field.name))]}
    given = {("if" if name == "condition" else name): value for name, value in stated.items() if name not in DERIVED}
    [task] = of_steps([StepSpec.model_validate({**given, "depends_on": ["a"], "command": "true"})], over={})
    assert task.rules == RICH
    own = {field.name for field in fields(StepRules)} - DERIVED - {"name"}
    defaults = {name: getattr(PLAIN, name) for name in own}
    assert all(getattr(RICH, name) != value for name, value in defaults.items()), "a rule of RICH has its default"


def test_every_rule_is_shown_with_its_task() -> None:
    assert {field.name for field in fields(StepRules)} <= Task.model_fields.keys()


def test_empty_collections_are_not_parsed() -> None:
    selected = RULES.text("columns", 1)
    assert "case when t.depends_on::text <> '[]' then t.depends_on end as depends_on" in selected
    assert "case when t.labels::text <> '{}' then t.labels end as labels" in selected
    assert "case when t.requires::text <> '{}' then t.requires end as requires" in selected
    absent = {column.name: None for column in COLUMNS} | {"name": "a"}
    assert rules_of(absent) == PLAIN


def test_the_name_stands_before_the_other_rules_in_a_task_that_is_shown() -> None:
    assert RULES.text("shown", 1).startswith("'depends_on', t.depends_on, 'allow_failure', t.allow_failure")
    assert "'name'" not in RULES.text("shown", 1)
    with pytest.raises(UnknownParameter):
        RULES.text("colour", 1)
