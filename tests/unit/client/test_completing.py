"""The words that complete a command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from hodei import completing


async def test_a_name_that_a_shell_would_split_is_completed_by_its_id() -> None:
    names = {"0199-aaaaaaaa": "nightly", "0199-bbbbbbbb": "back up", "0199-cccccccc": "a:b", "0199-dddddddd": "$(x)"}

    class Known:
        async def pipelines(self, limit: int) -> AsyncIterator[SimpleNamespace]:
            for id, name in names.items():
                yield SimpleNamespace(id=id, name=name, description="")

    known: Any = Known()
    offered = [offer async for offer in completing._pipelines(known)]

    assert offered[:2] == [("nightly", "aaaaaaaa"), ("aaaaaaaa", "nightly")]
    assert offered[2:] == [("bbbbbbbb", "back up"), ("cccccccc", "a:b"), ("dddddddd", "$(x)")]
