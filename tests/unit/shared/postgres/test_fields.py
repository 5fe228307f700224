"""The fields of a dataclass as columns: what is written is read again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson
import pytest

from schemas.specs import Resources
from shared.postgres import columns_of, from_row


@dataclass(frozen=True)
class Parcel:
    name: str
    weight: float | None = None
    fragile: bool = False
    size: Literal["small", "large"] = "small"
    marks: Mapping[str, str] = field(default_factory=dict)
    needs: Resources | None = None


PLAIN = Parcel("a")
RICH = Parcel("b", 2.5, True, "large", {"to": "north"}, Resources(cpu_m=500))


@pytest.mark.parametrize("parcel", [PLAIN, RICH])
def test_an_object_is_read_as_it_was_written(parcel: Parcel) -> None:
    columns = columns_of(Parcel, names={"size": "how_large"})
    written = {column.name: (column.cast, column.write(parcel)) for column in columns}
    row = {
        name: orjson.loads(str(value)) if cast and value is not None else value
        for name, (cast, value) in written.items()
    }
    assert "how_large" in row
    assert from_row(Parcel, columns, row) == parcel


def test_a_field_without_a_type_of_postgresql_is_json() -> None:
    described = [(column.name, column.type, column.cast, column.empty) for column in columns_of(Parcel, json="jsonb")]
    assert described == [
        ("name", "text", "", None),
        ("weight", "float8", "", None),
        ("fragile", "boolean", "", None),
        ("size", "text", "", None),
        ("marks", "text", "jsonb", "{}"),
        ("needs", "text", "jsonb", None),
    ]
