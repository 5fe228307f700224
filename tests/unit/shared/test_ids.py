"""Ids: canonical, and in the order in which they were made."""

from schemas.ids import is_id
from shared.ids import new_id


def test_ids_are_canonical_and_ascend() -> None:
    ids = [new_id() for _ in range(1000)]
    assert all(is_id(id) for id in ids)
    assert ids == sorted(set(ids))
