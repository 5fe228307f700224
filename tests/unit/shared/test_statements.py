"""Several queries as one statement."""

import pytest

from shared.statements import Call, joined, sparse

ONE = "with a as (select $1::int as n),\nb as (\n    select $2\n)\nselect (select n from a) as x"
TWO = "with c as (insert into t values ($1, $11))\nselect true as y"


def test_one_query_is_left_as_it_is() -> None:
    assert joined([Call("select 1", (1,))]) == Call("select 1", (1,))


def test_parts_values_and_parameters_are_put_one_after_the_other() -> None:
    query, arguments = joined([Call(ONE, (1, 2)), Call(TWO, tuple(range(11)))])
    assert query == (
        "with a as (select $1::int as n),\nb as (\n    select $2\n), c as (insert into t values ($3, $13))\n"
        "select (select n from a) as x, true as y"
    )
    assert arguments == (1, 2, *range(11))


def test_a_query_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        joined([Call(ONE, (1, 2)), Call("delete from t", ())])


def test_a_column_of_nothing_is_left_out() -> None:
    assert sparse([None, None]) == []
    assert sparse([None, 1]) == [None, 1]
