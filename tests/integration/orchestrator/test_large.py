"""Large submissions are checked and made in a thread, so that the event loop goes on; small ones are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.orchestrator.conftest import House


def pipeline(steps: int) -> dict[str, Any]:
    first = {"name": "s0", "command": "true"}
    others = [
        {"name": f"s{n}", "command": "true", "depends_on": ["s0"], "if": f"params.x == 'v{n}'"} for n in range(1, steps)
    ]
    return {"name": "p", "steps": [first, *others], "params": {"x": {"default": "a"}}}


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[bool]]:
    """For checking and for making jobs: whether they ran on the event loop's thread."""
    seen: dict[str, set[bool]] = {"check": set(), "begin": set()}

    def spy(name: str) -> None:
        real: Callable[..., Any] = getattr(__import__("orchestrator.submission", fromlist=[name]), name)

        def spied(*args: Any, **options: Any) -> Any:
            seen[name].add(threading.current_thread() is threading.main_thread())
            return real(*args, **options)

        monkeypatch.setattr(f"orchestrator.submission.{name}", spied)

    spy("check")
    spy("begin")
    return seen


async def test_a_large_pipeline_is_checked_and_made_in_a_thread(house: House, threads: dict[str, set[bool]]) -> None:
    job = await house.post("/api/v1/jobs", {"pipeline": pipeline(200)})
    assert len(job["tasks"]) == 200
    assert threads == {"check": {False}, "begin": {False}}
    assert (await house.get(f"/api/v1/jobs/{job['id']}"))["tasks"] == job["tasks"]


async def test_a_small_one_is_not(house: House, threads: dict[str, set[bool]]) -> None:
    await house.post("/api/v1/jobs", {"pipeline": pipeline(3)})
    await house.submit()
    assert threads == {"check": {True}, "begin": {True}}


async def test_a_large_batch_is_made_in_a_thread_in_its_order(house: House, threads: dict[str, set[bool]]) -> None:
    jobs = await house.post("/api/v1/jobs/batch", [{"command": "true", "name": f"n{n}"} for n in range(150)])
    assert [job["name"] for job in jobs] == [f"n{n}" for n in range(150)]
    assert threads["begin"] == {False}


async def test_errors_of_a_large_submission_are_the_same(house: House) -> None:
    wrong = pipeline(200)
    wrong["steps"][150]["if"] = "params.unknown == 'a'"
    problem = await house.post("/api/v1/jobs", {"pipeline": wrong}, status=422)
    assert problem["errors"][0]["loc"] == ["body", "pipeline", "steps", 150, "if"]


async def test_several_large_submissions_at_once_all_succeed(house: House) -> None:
    answers = await asyncio.gather(
        *(house.post("/api/v1/jobs", {"pipeline": pipeline(120), "name": f"n{n}"}) for n in range(4)),
        *(house.submit(name="small") for _ in range(4)),
    )
    assert len({job["id"] for job in answers}) == 8
