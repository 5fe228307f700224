"""One description of the columns makes the statement and its arguments."""

from dataclasses import dataclass

import pytest

from shared.postgres import RowsQuery
from shared.postgres.queries import MalformedQueries, parse

SQL = """-- name: close
-- Close them.
update t set status = c.status
from given (id uuid, status text,
            exit_code int) as c
where t.id = c.id;
"""


@dataclass
class End:
    id: str
    status: bytes
    exit_code: int | None = None


def test_the_description_becomes_arrays_with_names() -> None:
    assert parse(SQL, origin="x")["close"] == (
        "update t set status = c.status\n"
        "from unnest($1::uuid[], $2::text[], $3::int[]) as c (id, status, exit_code)\n"
        "where t.id = c.id"
    )


def test_arguments_are_taken_by_the_names_of_the_columns() -> None:
    statement = parse(SQL, origin="x")["close"]
    query = RowsQuery[End](statement, status=lambda end: end.status.decode())
    call = query.of([End("a", b"failed", 3), End("b", b"done")])
    assert call == (statement, (["a", "b"], ["failed", "done"], [3, None]))
    assert query.of([End("a", b"done")]).arguments == (["a"], ["done"], []), "a column of nulls is sent empty"


def test_an_object_without_a_column_is_refused() -> None:
    with pytest.raises(AttributeError, match="exit_code"):
        RowsQuery[object](parse(SQL, origin="x")["close"]).of([type("Row", (), {"id": "a", "status": "b"})()])


@pytest.mark.parametrize(
    ("statement", "values", "says"),
    [
        ("select 1", (), "in one place, not in 0"),
        ("select from unnest($1::int[]) as a (n), unnest($1::int[]) as b (n)", (), "in one place, not in 2"),
        ("select from unnest($1::int[]) as a (n)", ("m",), "it has no column m"),
    ],
)
def test_a_statement_that_does_not_take_these_rows_is_refused(
    statement: str, values: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        RowsQuery[object](statement, **dict.fromkeys(values, str))


@pytest.mark.parametrize("columns", ["", "id", "id uuid, ", "id uuid text"])
def test_a_description_of_another_form_is_refused(columns: str) -> None:
    with pytest.raises(MalformedQueries, match="x: close: a column is written"):
        parse(f"-- name: close\n-- Close them.\nselect from given ({columns}) as c", origin="x")
