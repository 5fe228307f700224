"""A step's rules as columns: what is written is read again, whatever fields there are."""

from dataclasses import fields

import orjson
import pytest

from orchestrator.domain.definition import StepRules
from orchestrator.store.rules import COLUMNS, RULES, rules_of
from schemas.specs import Resources, RetrySpec
from shared.postgres import UnknownParameter

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
)


@pytest.mark.parametrize("rules", [PLAIN, RICH])
def test_rules_are_read_as_they_were_written(rules: StepRules) -> None:
    written = {column.name: column.write(rules) for column in COLUMNS}
    kept = {
        column.name: orjson.loads(str(value)) if column.cast and value is not None else value
        for column in COLUMNS
        for value in [written[column.name]]
    }
    assert rules_of(kept) == rules


def test_every_field_is_a_column() -> None:
    assert [column.name for column in COLUMNS] == [field.name for field in fields(StepRules)]
    assert {column.name: column.type for column in COLUMNS if not column.cast} == {
        "name": "text",
        "allow_failure": "boolean",
        "retry_on_lost": "boolean",
        "max_crashes": "integer",
        "queue_timeout": "float8",
    }


def test_empty_collections_are_not_parsed() -> None:
    selected = RULES.text("columns", 1)
    assert "case when t.depends_on::text <> '[]' then t.depends_on end as depends_on" in selected
    assert "case when t.requires::text <> '{}' then t.requires end as requires" in selected
    absent = {column.name: None for column in COLUMNS} | {"name": "a"}
    assert rules_of(absent) == PLAIN


def test_the_name_stands_before_the_other_rules_in_a_task_that_is_shown() -> None:
    assert RULES.text("shown", 1).startswith("'depends_on', t.depends_on, 'allow_failure', t.allow_failure")
    assert "'name'" not in RULES.text("shown", 1)
    with pytest.raises(UnknownParameter):
        RULES.text("colour", 1)
