"""A step with a matrix, from its pipeline to the events of its tasks."""

from __future__ import annotations

from typing import Any

from schemas.events import TaskCancelled, TaskCancelRequested, TaskFailed, TaskQueued, TaskSucceeded
from schemas.states import Reason
from tests.fixtures.events import publish_log
from tests.integration.orchestrator.conftest import House, chunk, finished, scheduled

MATRIX: dict[str, Any] = {"python": ["3.11", "3.12"], "os": ["debian"], "include": [{"python": "3.12", "slow": True}]}
STEP: dict[str, Any] = {"name": "test", "command": "true", "matrix": MATRIX}
AFTER = {"name": "after", "command": "true", "depends_on": ["test"]}
VALUES = [{"python": "3.11", "os": "debian"}, {"python": "3.12", "os": "debian", "slow": True}]


async def orders(house: House, job: Any, *, attempt: int = 1) -> list[TaskQueued]:
    """The orders of the step's tasks, by index."""
    found = await house.ears.wait(
        TaskQueued, 2, where=lambda one: (one.job_id, one.name, one.attempt) == (job["id"], "test", attempt)
    )
    return sorted(found, key=lambda one: one.index or 0)


async def test_a_step_with_a_matrix_has_a_task_for_each_combination(house: House) -> None:
    pipeline = await house.pipeline(STEP, AFTER)
    assert pipeline["steps"][0]["matrix"]["python"] == ["3.11", "3.12"]
    job = await house.submit(pipeline_id=pipeline["id"])
    assert [(task["name"], task["index"], task["matrix"]) for task in job["tasks"]] == [
        ("test", 0, VALUES[0]),
        ("test", 1, VALUES[1]),
        ("after", None, None),
    ]
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    first, second = await orders(house, job)
    assert (first.matrix, first.index, second.matrix, second.index) == (VALUES[0], 0, VALUES[1], 1)
    variables = {name: value for name, value in second.run.env.items() if name.startswith("HODEI_MATRIX_")}
    assert variables == {"HODEI_MATRIX_PYTHON": "3.12", "HODEI_MATRIX_OS": "debian", "HODEI_MATRIX_SLOW": "true"}
    assert "HODEI_MATRIX_SLOW" not in first.run.env
    await house.say(finished(scheduled(first)))
    [over] = await house.ears.wait(TaskSucceeded)
    assert (over.name, over.matrix, over.index) == ("test", VALUES[0], 0)
    assert (await house.get(f"/api/v1/jobs/{job['id']}"))["tasks"][2]["status"] == "pending", "it waits for all"
    await house.say(finished(scheduled(second)))
    await house.say(finished(scheduled(await house.queued(job, "after"))))
    assert (await house.over(job))["status"] == "succeeded"
    timeline = await house.get(f"/api/v1/jobs/{job['id']}/events")
    ends = [event["data"] for event in timeline if event["type"] == "tasks.succeeded"]
    assert [(end["name"], end.get("index"), end.get("matrix")) for end in ends] == [
        ("test", 0, VALUES[0]),
        ("test", 1, VALUES[1]),
        ("after", None, None),
    ]


async def test_the_first_failure_cancels_the_other_tasks(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(STEP))["id"])
    first, second = await orders(house, job)
    await house.say(finished(scheduled(first), "failed", exit_code=1))
    [request] = await house.ears.wait(TaskCancelRequested)
    assert (request.task_id, request.reason) == (second.task_id, Reason.FAIL_FAST)
    await house.say(finished(scheduled(second), "cancelled", exit_code=None))
    done = await house.over(job)
    assert (done["status"], [task["reason"] for task in done["tasks"]]) == ("failed", ["exit_code", "fail_fast"])
    [failed], [cancelled] = await house.ears.wait(TaskFailed), await house.ears.wait(TaskCancelled)
    assert (failed.index, cancelled.index, cancelled.matrix) == (0, 1, VALUES[1])


async def test_a_rerun_keeps_the_tasks_that_succeeded(house: House) -> None:
    step = STEP | {"matrix": MATRIX | {"fail_fast": False}}
    job = await house.submit(pipeline_id=(await house.pipeline(step, AFTER))["id"])
    first, second = await orders(house, job)
    await house.say(finished(scheduled(first), "failed", exit_code=1))
    await house.say(finished(scheduled(second)))
    assert (await house.over(job))["status"] == "failed"
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {"from": "failed"})
    assert [(task["index"], task["status"], task["matrix"]) for task in again["tasks"]] == [
        (0, "queued", VALUES[0]),
        (1, "succeeded", VALUES[1]),
        (None, "pending", None),
    ]
    order = await house.queued(again, "test")
    assert (order.index, order.run.env["HODEI_MATRIX_PYTHON"]) == (0, "3.11")
    await house.say(finished(scheduled(order)))
    await house.say(finished(scheduled(await house.queued(again, "after"))))
    assert (await house.over(again))["status"] == "succeeded"


async def test_max_parallel_limits_the_tasks_on_their_way(house: House) -> None:
    step = STEP | {"matrix": MATRIX | {"max_parallel": 1}}
    job = await house.submit(pipeline_id=(await house.pipeline(step))["id"], env={"HODEI_MATRIX_OS": "mine"})
    assert [task["status"] for task in job["tasks"]] == ["queued", "pending"]
    order = await house.queued(job, "test")
    assert order.run.env["HODEI_MATRIX_OS"] == "debian", "a job's environment does not hide it"
    await house.say(finished(scheduled(order)))
    [_, following] = await orders(house, job)
    await house.say(finished(scheduled(following)))
    assert (await house.over(job))["status"] == "succeeded"


async def test_lines_of_output_name_the_task_that_wrote_them(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(STEP))["id"])
    for order in await orders(house, job):
        placed = scheduled(order)
        await publish_log(house.bus, chunk(placed, 1, order.run.env["HODEI_MATRIX_PYTHON"]), placed.worker_id)
        await house.say(finished(placed, chunks=1))
    await house.over(job)
    lines = (await house.get(f"/api/v1/jobs/{job['id']}/logs"))["logs"]
    assert {(line["task"], line["index"], line["matrix"]["python"], line["message"]) for line in lines} == {
        ("test", 0, "3.11", "3.11"),
        ("test", 1, "3.12", "3.12"),
    }


async def test_a_matrix_is_checked_when_its_pipeline_is_made(house: House) -> None:
    bad = STEP | {"matrix": {"os": ["debian"], "exclude": [{"os": "debian"}]}}
    for path, body in (
        ("/api/v1/pipelines", {"name": "x", "steps": [AFTER | {"depends_on": []}, bad]}),
        ("/api/v1/jobs", {"pipeline": {"name": "x", "steps": [AFTER | {"depends_on": []}, bad]}}),
    ):
        [error] = (await house.post(path, body, status=422))["errors"]
        assert error["loc"][-4:] == ["steps", 1, "matrix", "exclude"]
        assert error["msg"] == "leaves no combination"
    unnamed = STEP | {"env": {"X": "${{ matrix.sow }}"}}
    [error] = (await house.post("/api/v1/pipelines", {"name": "x", "steps": [unnamed]}, status=422))["errors"]
    assert "did you mean slow?" in error["msg"]
    plan = await house.post("/api/v1/pipelines/plan", {"pipeline": {"name": "x", "steps": [STEP]}}, status=200)
    assert [(task["index"], task["matrix"]) for task in plan["tasks"]] == [(0, VALUES[0]), (1, VALUES[1])]
