"""The ids that a person types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from hodei.client import Client
from hodei.ids import NoSuchId, pipeline_filter, whole_id, whole_token_id
from schemas.access import Role
from schemas.rest.access import Token
from schemas.rest.pipelines import Pipeline

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


ID = "01a22592-5daa-71c2-9b8b-aa9e8bcf{:04}"
TOKENS = [("ci", True), ("twice", True), ("twice", True), ("old", False), ("8bcf0000", True)]
"""The names of tokens, and whether each is active."""
PIPELINES = [("deploy", "active"), ("nightly", "active"), ("retired", "archived")]


class Platform:
    """Has the tokens and the pipelines of the tables above."""

    async def tokens(self, *, name: str | None = None, state: str | None = None, **_: Any) -> AsyncIterator[Token]:
        for number, (known, active) in enumerate(TOKENS):
            if name in (None, known) and (active or state != "active"):
                yield Token.model_construct(id=ID.format(number), name=known, role=Role.VIEWER)

    async def pipelines(self, *, name: str | None = None, status: str, **_: Any) -> AsyncIterator[Pipeline]:
        for number, (known, its) in enumerate(PIPELINES):
            if its == status and (
                name is None or known == name or (name.endswith("*") and known.startswith(name[:-1]))
            ):
                yield Pipeline.model_construct(id=ID.format(number), name=known)


PLATFORM = cast(Client, Platform())


@pytest.mark.parametrize(("text", "number"), [("ci", 0), ("8bcf0001", 1), (ID.format(3), 3), ("8bcf0003", 3)])
async def test_a_token_is_named_by_its_name_its_id_or_the_end_of_its_id(text: str, number: int) -> None:
    assert await whole_token_id(PLATFORM, text) == ID.format(number)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nobody", "there is no active token with the name 'nobody'"),
        ("old", "there is no active token with the name 'old'"),
        ("00000000", "'00000000', and none whose id ends with 00000000"),
        ("twice", f"several tokens are 'twice'; give the id of one:\n  {ID.format(1)}"),
        ("8bcf0000", f"several tokens are '8bcf0000'; give the id of one:\n  {ID.format(4)}  viewer  8bcf0000"),
        (" ", "this one is empty"),
    ],
)
async def test_a_token_that_is_not_the_only_one_is_refused(text: str, says: str) -> None:
    with pytest.raises(NoSuchId) as refused:
        await whole_token_id(PLATFORM, text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "filter_"),
    [
        ("deploy", "deploy"),
        ("retired", "retired"),
        ("8bcf0002", ID.format(2)),
        (ID.format(9), ID.format(9)),
        (None,) * 2,
    ],
)
async def test_a_filter_may_name_any_pipeline_even_an_archived_one(text: str | None, filter_: str | None) -> None:
    assert await pipeline_filter(PLATFORM, text) == filter_


@pytest.mark.parametrize("text", ["nope", "deplo", "deplo*", "00000000", ""])
async def test_a_filter_by_a_pipeline_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(NoSuchId, match="there is no pipeline"):
        await pipeline_filter(PLATFORM, text)
