"""Where a viewer stands in the output of a job, and how that is written in the id of an event."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.following import NOTHING_SEEN, Cursor, in_order
from shared.transcript import START, Place

STEPS = 1000
MOVES = st.lists(
    st.tuples(
        st.integers(0, STEPS - 1),
        st.integers(1, 3),
        st.none() | st.builds(Place, st.integers(1, 99_999), st.integers(-1, 9999)),
    ),
    max_size=60,
)


@given(MOVES)
def test_an_id_says_where_a_viewer_stands_in_every_step(moves: list[tuple[int, int, Place | None]]) -> None:
    cursor = Cursor()
    for step, attempt, place in moves:
        cursor.move(step, attempt, place)
    again = Cursor.parse(str(cursor))
    assert str(again) == str(cursor)
    for step in {step for step, _, _ in moves} | {0, 500}:
        for attempt in range(1, 5):
            assert again.place(step, attempt) == cursor.place(step, attempt)


def test_a_position_before_all_output_has_an_id() -> None:
    assert str(Cursor.parse(NOTHING_SEEN)) == ""


def test_attempts_are_in_order_whatever_the_clocks_of_their_workers_say() -> None:
    given = [(0, 2), (1, 1), (0, 1), (2, 1), (0, 3)]
    rows = [{"id": f"{step}/{attempt}", "position": step, "attempt": attempt} for step, attempt in given]
    assert [row["id"] for row in in_order(rows)] == ["0/1", "1/1", "0/2", "2/1", "0/3"]


def test_attempts_before_the_one_that_was_seen_are_not_shown_again_and_later_ones_from_their_start() -> None:
    cursor = Cursor.parse("0-2:1,3:2:5.1")
    assert [cursor.place(1, attempt) for attempt in (1, 2)] == [None, START]
    assert [cursor.place(3, attempt) for attempt in (1, 2, 3)] == [None, Place(5, 1), START]
    assert cursor.place(4, 1) == START
    assert cursor.without(3)(2, Place(6)) == "0-2:1,3:2:6"


def test_steps_that_were_seen_to_their_end_are_written_as_ranges() -> None:
    cursor = Cursor()
    for step in range(STEPS):
        cursor.move(step, 1, None)
    assert str(cursor) == "0-999:1"


def test_the_longest_id_fits_into_a_header() -> None:
    cursor = Cursor()
    for step in range(STEPS - 64):
        cursor.move(step, 1 + step % 2, None)
    for step in range(STEPS - 64, STEPS):
        cursor.move(step, 1, Place(9999, 999))
    assert len(str(cursor)) < 8000


def test_what_is_no_id_of_ours_begins_at_the_beginning() -> None:
    for text in ("", "x", "1:2:3:4", "0:1,", "0:1,x", "1:1:1.1.1", "0:1:" + "9" * 40, "0-999999:1", "," * 20_000):
        assert Cursor.parse(text).place(STEPS + 1, 1) in (START, None)
    assert str(Cursor.parse("0:1,x")) == ""
