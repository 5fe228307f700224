"""The walk through what may be overdue: page by page, state by state, round after round."""

from __future__ import annotations

import pytest

from shared.recall import PAGE, PAGE_GAP, Walk

PAUSE = 7.5


class Table:
    """Rows by state; each is its own place, from 1 on."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.away = False

    async def read(self, state: str, after: int, limit: int) -> list[tuple[str, int]]:
        if self.away:
            raise ConnectionError
        return [(state, place) for place in range(after + 1, self.sizes[state] + 1)][:limit]

    def walk(self) -> Walk[str, int, tuple[str, int]]:
        return Walk(list(self.sizes), 0, self.read, lambda row: row[1], pause=PAUSE)


def rows(state: str, first: int, last: int) -> list[tuple[str, int]]:
    return [(state, place) for place in range(first, last + 1)]


async def test_a_short_round_is_one_page() -> None:
    walk = Table(running=2, pending=3).walk()
    for _ in range(2):
        assert await walk.page() == rows("running", 1, 2) + rows("pending", 1, 3)
        assert walk.pause == PAUSE


async def test_a_long_round_goes_on_where_a_page_ended_and_begins_anew() -> None:
    walk = Table(running=PAGE + 1, pending=PAGE - 1).walk()
    whole = rows("running", 1, PAGE + 1) + rows("pending", 1, PAGE - 1)
    pages = [(await walk.page(), walk.pause) for _ in range(4)]
    assert (
        pages
        == [
            (whole[:PAGE], PAGE_GAP),
            (whole[PAGE:], PAGE_GAP),
            ([], PAUSE),  # only now is it plain that there were no more
            (whole[:PAGE], PAGE_GAP),
        ]
    )


@pytest.mark.parametrize("sizes", [{"running": PAGE, "pending": 0}, {"running": 0, "pending": PAGE}])
async def test_a_page_that_is_just_full_ends_the_round_with_the_next(sizes: dict[str, int]) -> None:
    walk = Table(**sizes).walk()
    assert len(await walk.page()) == PAGE
    assert (await walk.page(), walk.pause) == ([], PAUSE)


async def test_a_page_that_could_not_be_read_is_read_again() -> None:
    table = Table(running=PAGE + 1, pending=1)
    walk = table.walk()
    await walk.page()
    table.away = True
    with pytest.raises(ConnectionError):
        await walk.page()
    table.away = False
    assert await walk.page() == [("running", PAGE + 1), ("pending", 1)]


async def test_pages_of_a_round_are_not_further_apart_than_rounds() -> None:
    table = Table(running=PAGE + 1)
    walk = Walk(["running"], 0, table.read, lambda row: row[1], pause=0.1)
    await walk.page()
    assert walk.pause == 0.1
