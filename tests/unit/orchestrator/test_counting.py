"""Changes of the numbers of jobs are added up, whatever becomes of the count of all jobs."""

from dataclasses import dataclass
from typing import cast

import pytest

from orchestrator.counting import Counting
from orchestrator.store.counts import CountStore


@dataclass
class Store:
    """A store whose count of all jobs is too slow."""

    compacted: int = 0
    recounts: int = 0

    async def compact(self) -> int:
        self.compacted += 1
        return 3

    async def recount(self) -> bool:
        self.recounts += 1
        raise TimeoutError


async def test_a_failed_count_of_all_jobs_is_not_repeated_at_once() -> None:
    store = Store()
    counting = Counting(cast(CountStore, store))

    with pytest.raises(TimeoutError):
        await counting.run_once()
    assert await counting.run_once() == {"compacted": 3}

    assert (store.compacted, store.recounts) == (2, 1)
