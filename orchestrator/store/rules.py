"""A step's rules as columns of `tasks`, derived from `StepRules`: one column for each field, mostly with its name.

A new field needs only a migration that adds a column of the type below.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from operator import attrgetter
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import to_json

from orchestrator.domain.definition import StepRules
from schemas.specs import When
from shared.postgres import Record, UnknownParameter

_PLAIN: Final[Mapping[object, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "float8",
    str | None: "text",
    int | None: "integer",
    float | None: "float8",
    When: "text",
}
"""The fields that have a type of PostgreSQL. Every other field is a JSON column."""

_COLUMN: Final = {"when": "run_when"}
"""Columns that cannot have their field's name, which is a reserved word of SQL."""

_SHOWN: Final = {"condition": "if"}
"""Fields that REST shows under a name that is a reserved word of Python."""


@dataclass(frozen=True, slots=True)
class RuleColumn:
    """One field of the rules and its column."""

    field: str
    name: str
    """The column's."""
    type: str
    """The element type of the array that is passed: `text` for JSON."""
    cast: str
    """`json`, or an empty text."""
    empty: str | None
    """The JSON of its default, if that is a collection: such a value is not parsed."""
    write: Callable[[StepRules], object]
    read: Callable[[object], object]


def rules_of(row: Record | Mapping[str, object]) -> StepRules:
    """The rules from a row selected with `:rules.columns`."""
    # Any: a column's `read` returns its own field's type, which a type checker cannot know.
    values: dict[str, Any] = {
        column.field: column.read(row[column.name]) for column in COLUMNS if row[column.name] is not None
    }
    return StepRules(**values)


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


def _selected(column: RuleColumn) -> str:
    if column.empty is None:
        return f"t.{column.name}"
    return f"case when t.{column.name}::text <> '{column.empty}' then t.{column.name} end as {column.name}"


def _columns() -> tuple[RuleColumn, ...]:
    kinds = get_type_hints(StepRules)
    return tuple(_column(field.name, kinds[field.name], _default(field.name)) for field in fields(StepRules))


def _column(name: str, kind: Any, default: object) -> RuleColumn:
    # Any: `kind` is a type as `get_type_hints` returns it, which may be a union.
    value_of, column = attrgetter(name), _COLUMN.get(name, name)
    if kind in _PLAIN:
        return RuleColumn(name, column, _PLAIN[kind], "", None, value_of, lambda value: value)
    adapter: TypeAdapter[object] = TypeAdapter(kind)
    empty = None if default is None else to_json(default).decode()

    def write(rules: StepRules) -> str | None:
        value = value_of(rules)
        return empty if value == default else adapter.dump_json(value).decode()

    return RuleColumn(name, column, "text", "json", empty, write, adapter.validate_python)


def _default(name: str) -> object:
    [field] = [one for one in fields(StepRules) if one.name == name]
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


COLUMNS: Final = _columns()
