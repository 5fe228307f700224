"""A step's rules as columns of `tasks`, derived from `StepRules`: one column for each field, mostly with its name
(`shared.postgres.fields`)."""

from collections.abc import Mapping
from typing import Final

from orchestrator.domain.definition import StepRules
from shared.postgres import FieldColumn, Record, UnknownParameter, columns_of, from_row

COLUMNS: Final = columns_of(StepRules, names={"when": "run_when"})  # `when` is a reserved word of SQL

_SHOWN: Final = {"condition": "if"}
"""Fields that REST shows under a name that is a reserved word of Python."""


def rules_of(row: Record | Mapping[str, object]) -> StepRules:
    """The rules from a row selected with `:rules.columns`."""
    return from_row(StepRules, COLUMNS, row)


class RulesInQueries:
    """The rules of a task `t` in a query: `:rules.columns` selects them, and `:rules.shown` lists them as members of
    the task's JSON, without the name."""

    width: Final = 0

    def text(self, part: str, first: int) -> str:  # noqa: ARG002
        match part:
            case "columns":
                return ", ".join(_selected(column) for column in COLUMNS)
            case "shown":
                return ", ".join(
                    f"'{_SHOWN.get(column.field, column.field)}', t.{column.name}"
                    for column in COLUMNS
                    if column.field != "name"
                )
            case _:
                raise UnknownParameter(f"the rules have no part {part!r}")


RULES: Final = RulesInQueries()


def _selected(column: FieldColumn[StepRules]) -> str:
    if column.empty is None:
        return f"t.{column.name}"
    return f"case when t.{column.name}::text <> '{column.empty}' then t.{column.name} end as {column.name}"
