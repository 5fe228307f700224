"""The ids that a person types."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hodei.ids import NoSuchId, whole_id

KNOWN = [("0190-aaaa0001", "first"), ("0190-aaaa0002", "second"), ("0191-aaaa0002", "third")]


async def known() -> AsyncIterator[tuple[str, str]]:
    for one in KNOWN:
        yield one


async def test_the_last_eight_characters_stand_for_the_one_id_that_ends_with_them() -> None:
    assert await whole_id("job", " AAAA0001 ", known()) == "0190-aaaa0001"


async def test_anything_else_is_taken_as_it_is() -> None:
    for text in ("0190-aaaa0001", "no-such-id", "aaaa000"):
        assert await whole_id("job", text, known()) == text


async def test_an_empty_id_is_refused() -> None:
    with pytest.raises(NoSuchId, match="the id of a job is needed"):
        await whole_id("job", " ", known())


async def test_an_ambiguous_end_lists_what_it_could_be() -> None:
    with pytest.raises(NoSuchId, match="several jobs") as refused:
        await whole_id("job", "aaaa0002", known())
    assert str(refused.value).splitlines()[1:] == ["  0190-aaaa0002  second", "  0191-aaaa0002  third"]


async def test_an_end_that_no_id_has_is_refused() -> None:
    with pytest.raises(NoSuchId, match="there is no job whose id ends with ffffffff"):
        await whole_id("job", "ffffffff", known())
