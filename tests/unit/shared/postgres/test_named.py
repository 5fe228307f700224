"""Named parameters, and the rows that a statement writes."""

from operator import itemgetter

import pytest

from shared.postgres import Call, Column, Rows, Selected, UnknownParameter, narrowed_by, with_rows, with_values

Thing = tuple[str, int | None]
THINGS = Rows[Thing](
    Column("id", "uuid", itemgetter(0), key=True),
    Column("count", "integer", itemgetter(1)),
    Column("about", "text", lambda _: "{}", cast="json"),
)
OTHERS = Rows[str](Column("name", "text", str))


def test_a_description_gives_the_columns_the_arrays_and_the_values() -> None:
    query = "insert into t (:t.columns) select :t.values from unnest(:t.arrays) as new (:t.columns)"
    assert with_rows(query, t=THINGS) == (
        "insert into t (id, count, about) select id, count, about::json "
        "from unnest($1::uuid[], $2::integer[], $3::text[]) as new (id, count, about)"
    )


def test_an_update_sets_everything_but_the_key() -> None:
    assert with_rows("set :t.changes", t=THINGS) == "set count = new.count, about = new.about::json"


def test_what_a_conflict_excluded_replaces_everything_but_the_key() -> None:
    assert with_rows("set :t.excluded", t=THINGS) == "set count = excluded.count, about = excluded.about"


def test_columns_that_are_read_take_no_argument_and_give_ids_as_text() -> None:
    rows = Rows[Thing](*THINGS.columns, Column("others", "text", str, cast="uuid[]"))
    query = "select :t.columns from things where count < :most"
    assert with_rows(query, "most", t=Selected(rows)) == (
        "select id::text, count, about, others::text[] from things where count < $1"
    )
    with pytest.raises(UnknownParameter):
        with_rows("unnest(:t.arrays)", t=Selected(rows))


def test_the_arrays_of_several_descriptions_are_numbered_one_after_the_other() -> None:
    query = "unnest(:o.arrays), unnest(:t.arrays), cardinality(:t.count), :o.name"
    assert with_rows(query, t=THINGS, o=OTHERS) == (
        "unnest($4::text[]), unnest($1::uuid[], $2::integer[], $3::text[]), cardinality($2), $4"
    )


def test_single_values_come_after_the_rows_in_the_order_of_their_names() -> None:
    query = "unnest(:t.arrays), :least, :most, :least"
    assert with_rows(query, "most", "least", t=THINGS) == "unnest($1::uuid[], $2::integer[], $3::text[]), $5, $4, $5"


def test_arrays_have_a_value_for_each_entity_and_nothing_where_there_is_none() -> None:
    assert THINGS.arrays([("a", 1), ("b", None)]) == [["a", "b"], [1, None], ["{}", "{}"]]
    assert THINGS.arrays([("a", None)]) == [["a"], [], ["{}"]]
    assert THINGS.arrays([]) == [[], [], []]


@pytest.mark.parametrize(
    "query", ["select :x.columns", "select :t.colour", "select :t", "select :most", "select :least.columns"]
)
def test_what_was_not_given_is_refused(query: str) -> None:
    with pytest.raises(UnknownParameter):
        with_rows(query, "least", t=THINGS)


def test_a_cast_is_not_a_parameter() -> None:
    assert with_rows("select a::text, b::t.columns", t=THINGS) == "select a::text, b::t.columns"


LIST = """select id
where true
  and kind = :kind -- if given
  and id < :before::uuid -- if given
limit :limit"""


def test_filters_are_given_by_name() -> None:
    assert narrowed_by(LIST, {"limit": 3, "before": "i", "kind": None}) == Call(
        "select id\nwhere true\n  and id < $1::uuid\nlimit $2", ("i", 3)
    )
    assert narrowed_by(LIST, {"before": None, "kind": "k", "limit": 3, "unused": 1}).arguments == ("k", 3)
    with pytest.raises(KeyError):
        narrowed_by(LIST, {"limit": 3})


def test_single_values_are_given_by_name_and_none_may_be_missing() -> None:
    query = "update t set size = :size, was = :before where id = :id and size <> :size"
    assert with_values(query, id=7, size=3, before=None) == Call(
        "update t set size = $1, was = $2 where id = $3 and size <> $1", (3, None, 7)
    )
    with pytest.raises(KeyError, match="size"):
        with_values(query, id=7, before=None)


def test_an_entity_without_a_columns_attribute_is_refused() -> None:
    with pytest.raises(AttributeError, match="exit_code"):
        Rows[complex](Column("real", "float8"), Column("exit_code", "integer")).arrays([1j])


def test_a_columns_value_is_the_attribute_of_its_name_unless_it_says_otherwise() -> None:
    rows = Rows[complex](Column("real", "float8"), Column("size", "float8", abs))
    assert rows.arrays([3 + 4j]) == [[3.0], [5.0]]
