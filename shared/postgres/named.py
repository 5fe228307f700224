"""Named parameters: a query names its arguments, and `$1`, `$2`, … are counted here, never by hand.

A single value is `:status`. A set of rows, for `unnest`, is described once as `Rows` and stands in a query as

    insert into tasks (:tasks.columns)
    select :tasks.values from unnest(:tasks.arrays) as new (:tasks.columns)

or, for an update, as `set :tasks.changes from unnest(:tasks.arrays) as new (:tasks.columns)`, and after `on conflict …
do update` as `set :tasks.excluded`. The array of one column is `:tasks.id`. `Selected` reads the columns of a
description: `select :tasks.columns`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Final, Generic, Protocol, TypeVar

from shared.postgres.statements import Call, narrowed

_NAME: Final = re.compile(r"(?<![:\w]):([a-z]\w*)(?:\.([a-z]\w*))?")

T = TypeVar("T")


class UnknownParameter(ValueError):
    """A query names a set of rows, or a column, that it was not given. A fault of the code."""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column: its name in the table and the type of its array's elements. `read` takes its value from an entity; by
    default the value is the entity's attribute of the column's name."""

    name: str
    type: str
    read: Callable[[T], object] | None = None
    cast: str = ""
    """The table's type, where an array cannot carry it: `json` goes as `text`."""
    key: bool = False
    """Whether it says which row is meant, so that an update does not set it."""


class Described(Protocol):
    """What a query may name with its parts, as `:tasks.columns`."""

    @property
    def width(self) -> int:
        """How many arguments it takes."""

    def text(self, part: str, first: int) -> str:
        """What stands in the query for one part; `first` is the number of its first argument. Raises
        UnknownParameter."""


class Rows(Generic[T]):
    """The columns of one table that a statement writes, out of entities of one kind."""

    def __init__(self, *columns: Column[T]) -> None:
        self.columns: Final = columns
        self.width: Final = len(columns)
        self._reads = [column.read or attrgetter(column.name) for column in columns]

    def arrays(self, entities: Sequence[T]) -> list[list[object]]:
        """An array for each column, in their order; a column without a value is an empty array."""
        if not entities:
            return [[] for _ in self._reads]
        arrays = [list(map(read, entities)) for read in self._reads]
        # `unnest` pads short arrays with nulls, and encoding nulls costs time. `count` does not look at them in Python.
        return [[] if array[0] is None and array.count(None) == len(array) else array for array in arrays]

    def text(self, part: str, first: int) -> str:
        """See `Described`. The parts are `columns`, `arrays`, `values`, `changes`, `excluded`, and the name of each
        column."""
        match part:
            case "columns":
                return ", ".join(column.name for column in self.columns)
            case "arrays":
                return ", ".join(f"${number}::{column.type}[]" for number, column in enumerate(self.columns, first))
            case "values":
                return ", ".join(_value(column.name, column) for column in self.columns)
            case "changes":
                changed = [column for column in self.columns if not column.key]
                return ", ".join(f"{column.name} = {_value(f'new.{column.name}', column)}" for column in changed)
            case "excluded":
                return ", ".join(f"{column.name} = excluded.{column.name}" for column in self.columns if not column.key)
        for number, column in enumerate(self.columns, first):
            if column.name == part:
                return f"${number}"
        raise UnknownParameter(f"no column {part!r} among {', '.join(column.name for column in self.columns)}")


class Selected:
    """The columns of a description in a query that reads them, ids as text."""

    width: Final = 0

    def __init__(self, rows: Rows[T]) -> None:
        self._text = ", ".join(_selected(column) for column in rows.columns)

    def text(self, part: str, first: int) -> str:  # noqa: ARG002
        """See `Described`. The only part is `columns`."""
        if part != "columns":
            raise UnknownParameter(f"columns that are read have no part {part!r}")
        return self._text


def with_rows(query: str, *singles: str, **rows: Described) -> str:
    """The query for sets of rows, and for single values with the names `singles`. Its arguments are the `arrays` of the
    rows, then the single values, in the order given here. Raises UnknownParameter."""
    first: dict[str, int] = {}
    number = 1
    for name, described in rows.items():
        first[name] = number
        number += described.width
    single = {name: f"${place}" for place, name in enumerate(singles, number)}

    def place(found: re.Match[str]) -> str:
        name, part = found[1], found[2]
        if part is None and name in single:
            return single[name]
        if name not in rows or part is None:
            raise UnknownParameter(f"{found[0]} is not a part of one of {', '.join(rows)}")
        return rows[name].text(part, first[name])

    return _NAME.sub(place, query)


def with_values(query: str, /, **values: object) -> Call:
    """A query of single values, with its arguments. Raises KeyError for a parameter without a value."""
    text, names = _numbered(query)
    return Call(text, tuple(values[name] for name in names))


def narrowed_by(query: str, values: Mapping[str, object]) -> Call:
    """As `narrowed`, for a query with named parameters. Raises KeyError for one that has no value."""
    text, arguments = with_values(query, **values)
    return narrowed(text, *arguments)


@cache
def _numbered(query: str) -> tuple[str, tuple[str, ...]]:
    numbers: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}"

    return _NAME.sub(place, query), tuple(numbers)


def _selected(column: Column[T]) -> str:
    match column.cast or column.type:
        case "uuid":
            return f"{column.name}::text"
        case "uuid[]":
            return f"{column.name}::text[]"
        case _:
            return column.name


def _value(name: str, column: Column[T]) -> str:
    return f"{name}::{column.cast}" if column.cast else name
