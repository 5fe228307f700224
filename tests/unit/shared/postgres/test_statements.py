"""Several queries as one statement, and one without what nobody asked for."""

import pytest

from shared.postgres import Call, joined, narrowed

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


LIST = """select id
from t
where true
  and id < $1::uuid -- if given
  and name = $2 -- if given
  and kind = $3 -- if given
limit $4"""


def test_filters_that_nobody_gave_are_left_out() -> None:
    assert narrowed(LIST, None, None, None, 101) == Call("select id\nfrom t\nwhere true\nlimit $1", (101,))
    assert narrowed(LIST, None, "x", None, 101) == Call(
        "select id\nfrom t\nwhere true\n  and name = $1\nlimit $2", ("x", 101)
    )
    assert narrowed(LIST, "i", "x", "k", 101).arguments == ("i", "x", "k", 101)


def test_only_what_is_marked_is_left_out() -> None:
    assert narrowed("select $2::int, $1::text", None, 1) == Call("select $2::int, $1::text", (None, 1))
