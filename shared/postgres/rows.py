"""Statements that take many rows at once, one array for each column, out of one description of the columns.

The description is in the statement, in place of `unnest` with its numbered parameters:

    from given (task_id uuid, attempt int, detail text) as closed

`expanded` makes of it what PostgreSQL understands:

    from unnest($1::uuid[], $2::int[], $3::text[]) as closed (task_id, attempt, detail)

and `RowsQuery` takes the arguments from objects by the same names. The arrays are the statement's only parameters.
"""

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, Generic, TypeVar

from shared.postgres.statements import Call, sparse

R = TypeVar("R")

_GIVEN: Final = re.compile(r"\bgiven \((?P<columns>[^)]*)\)\s+as\s+(?P<alias>\w+)")
_COLUMN: Final = re.compile(r"(?P<name>[a-z_]+) (?P<type>[a-z0-9_]+)")
_EXPANDED: Final = re.compile(r"\bunnest\(\$1::[^)]*\) as \w+ \((?P<names>[^)]*)\)")


class MalformedRows(ValueError):
    """A statement does not describe its rows in the form above. A fault of the code, found when it is wired."""


def expanded(statement: str) -> str:
    """The statement with `unnest` in place of `given`. Raises MalformedRows."""
    return _GIVEN.sub(_unnest, statement)


class RowsQuery(Generic[R]):
    """A statement that takes rows of one kind, each made of an object.

    A column's value is the object's attribute of the same name, unless `values` has a function for the column. Raises
    MalformedRows when the statement does not take rows, or lacks a column that `values` names.
    """

    def __init__(self, statement: str, **values: Callable[[R], object]) -> None:
        found = _EXPANDED.findall(statement)
        if len(found) != 1:
            raise MalformedRows(f"it must take rows in one place, not in {len(found)}: {statement}")
        names = found[0].split(", ")
        if unknown := values.keys() - set(names):
            raise MalformedRows(f"it has no column {', '.join(sorted(unknown))}: {statement}")
        self._statement = statement
        self._values = [values.get(name) or attrgetter(name) for name in names]

    def of(self, rows: Sequence[R]) -> Call:
        """The statement with these rows as its arguments."""
        return Call(self._statement, tuple(sparse(list(map(value, rows))) for value in self._values))


def _unnest(found: re.Match[str]) -> str:
    columns = [_COLUMN.fullmatch(" ".join(each.split())) for each in found["columns"].split(",")]
    if not all(columns):
        raise MalformedRows(f"a column is written `name type`: {found[0]}")
    known = [column for column in columns if column is not None]
    types = ", ".join(f"${number}::{column['type']}[]" for number, column in enumerate(known, 1))
    return f"unnest({types}) as {found['alias']} ({', '.join(column['name'] for column in known)})"
