"""The fields of a dataclass as columns of a table, mostly with the field's name: a new field needs only a migration
that adds a column of the type below."""

from collections.abc import Callable, Container, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, get_origin, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import to_json
from typing_extensions import TypeAliasType

from shared.postgres.connection import Record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

D = TypeVar("D", bound="DataclassInstance")

_PLAIN: Final[Mapping[object, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "float8",
    str | None: "text",
    int | None: "integer",
    float | None: "float8",
}
"""The fields that have a type of PostgreSQL, beside a Literal of texts. Every other field is a JSON column."""

_SAME: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FieldColumn(Generic[D]):
    """One field and its column."""

    field: str
    name: str
    """The column's."""
    type: str
    """The element type of the array that is passed: `text` for JSON."""
    cast: str
    """`json` or `jsonb`, or an empty text."""
    empty: str | None
    """The JSON of its default, if that is a collection: such a value is not parsed."""
    write: Callable[[D], object]
    """The column's value, from an object of the dataclass."""
    read: Callable[[object], object]
    """The field's value, from a value of the column that is not null."""


def columns_of(
    kind: type[D],
    *,
    json: Literal["json", "jsonb"] = "json",
    names: Mapping[str, str] = _SAME,
    ordered: Container[str] = (),
) -> tuple[FieldColumn[D], ...]:
    """A column for each field of a dataclass, in their order. `names` are those of columns that cannot have their
    field's name, by field. The objects in the fields of `ordered` keep the order of their keys, unlike jsonb."""
    types = get_type_hints(kind)
    return tuple(
        _column(one, types[one.name], names.get(one.name, one.name), "json" if one.name in ordered else json)
        for one in fields(kind)
    )


def from_row(kind: type[D], columns: tuple[FieldColumn[D], ...], row: Record | Mapping[str, object]) -> D:
    """An object from its columns. A field whose column is null has its default."""
    # Any: a column's `read` returns its own field's type, which a type checker cannot know.
    values: dict[str, Any] = {
        column.field: column.read(row[column.name]) for column in columns if row[column.name] is not None
    }
    return kind(**values)


def _column(one: "Field[Any]", kind: Any, name: str, json: str) -> FieldColumn[D]:
    # Any: `kind` is a type as `get_type_hints` returns it, which may be a union.
    value_of, default = attrgetter(one.name), _default(one)
    meant = kind.__value__ if isinstance(kind, TypeAliasType) else kind
    origin: object = get_origin(meant)
    plain = "text" if origin is Literal else _PLAIN.get(meant)
    if plain is not None:
        return FieldColumn(one.name, name, plain, "", None, value_of, lambda value: value)
    adapter: TypeAdapter[object] = TypeAdapter(kind)
    empty = None if default is None else to_json(default).decode()

    def write(entity: D) -> str | None:
        value = value_of(entity)
        return empty if value == default else adapter.dump_json(value).decode()

    return FieldColumn(one.name, name, "text", json, empty, write, adapter.validate_python)


def _default(one: "Field[Any]") -> object:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return None if one.default is MISSING else one.default
