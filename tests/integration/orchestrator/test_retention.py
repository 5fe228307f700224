"""Jobs and timelines go by age and by number, with all that belongs to them, and nothing else goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import pipeline_retention, retention
from orchestrator.app import build
from orchestrator.pipeline_retention import PASS_EVERY, ArchivedPipelines, PipelineVersions
from orchestrator.retention import JOBS_AT_ONCE, PAGE
from orchestrator.store.retention import RetentionStore
from schemas.events import JobDeleted
from schemas.ids import first_id_at
from schemas.questions import MISSING_JOBS, JobsQuestion
from shared.bus import Consumer, ask
from shared.ids import new_id
from shared.retention import Retention
from shared.retention_settings import LONGEST
from shared.service import Service, start_all, stop_all
from shared.telemetry import Metrics
from tests.integration.orchestrator.conftest import House, Scheduler

pytestmark = pytest.mark.usefixtures("scheduler")

AGE = timedelta(days=30)
NOW = datetime.now(UTC)
OLD, YOUNG = NOW - AGE - timedelta(hours=1), NOW - AGE + timedelta(hours=1)
PARTS = ("tasks", "executions", "timeline")


@pytest.fixture
def own_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    given = getattr(request, "param", {})
    return {"retention_jobs": AGE, "retention_jobs_max": None, "retention_jobs_per_pipeline": 2} | given


def keeps(**settings: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("own_settings", [settings], indirect=True)


async def jobs(
    house: House, count: int, ended: datetime | None, *, pipeline: str | None = None, made: datetime | None = None
) -> list[str]:
    """Insert jobs with a task, an execution and a timeline each. Returns their ids in order."""
    made = made or (ended or OLD) - timedelta(minutes=10)
    prefix = first_id_at(made)[:18]
    ids = [f"{prefix}-8000-{new_id()[-4:]}{number:08x}" for number in range(count)]
    status = "running" if ended is None else "succeeded"
    await house.database.execute(
        """
        insert into jobs (id, name, status, pipeline_id, priority, params, labels, created_at, finished_at)
        select id, 'old', $2, $3::uuid, 'normal', '{}', '{}', $4, $5 from unnest($1::uuid[]) id
        """,
        *(ids, status, pipeline, made, ended),
    )
    await house.database.execute(
        """
        with new as (
            insert into tasks (job_id, id, position, name, depends_on, allow_failure, retry_on_lost, max_crashes, run,
                               requires, status, attempt, queued_at)
            select id, gen_random_uuid(), 0, 'main', '[]', false, true, 3, '{}', '{}', $2, 1, now()
            from unnest($1::uuid[]) id
            returning job_id, id
        ),
        line as (insert into timeline (job_id, entries) select job_id, '[]' from new)
        insert into executions (job_id, id, task_id, attempt, status, placed_at)
        select job_id, gen_random_uuid(), id, 1, $2, now() from new
        """,
        *(ids, status),
    )
    return sorted(ids)


async def purge(house: House) -> Counter[str]:
    """Let retention run at least once from start to end. Returns what it deleted."""
    retention, deleted = house.part(Retention), Counter[str]()
    for _ in range(2):  # the first may have been under way
        retention.wake()
        deleted.update(await retention.next_run())
    return deleted


async def kept(house: House, table: str = "jobs", column: str = "id") -> list[str]:
    rows = await house.database.fetch(f"select distinct {column}::text as id from {table} order by 1")
    return [row["id"] for row in rows]


async def test_what_ended_long_ago_goes_with_all_that_belongs_to_it(house: House) -> None:
    old, young = await jobs(house, 3, OLD), await jobs(house, 2, YOUNG)
    late = await jobs(house, 1, NOW, made=OLD)  # was made long ago, and ended a moment ago
    running = await jobs(house, 1, None, made=OLD)

    assert (await purge(house))["jobs"] == 3

    rest = sorted([*young, *late, *running])
    assert await kept(house) == rest
    for table in PARTS:
        assert await kept(house, table, "job_id") == rest, table
    told = await house.ears.wait(JobDeleted, 3)
    assert {(one.job_id, one.cause) for one in told} == {(id, "retention") for id in old}


@keeps(retention_jobs=None, retention_jobs_max=4)
async def test_the_newest_jobs_stay_up_to_a_number(house: House) -> None:
    ids = await jobs(house, 7, NOW)
    running = await jobs(house, 3, None, made=NOW)

    assert (await purge(house))["jobs"] == 3
    assert await kept(house) == sorted([*ids[3:], *running])


@keeps(retention_jobs=None, retention_jobs_max=5)
async def test_the_newest_jobs_are_counted_some_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "COUNTED_AT_ONCE", 2)
    ids = await jobs(house, 8, NOW)
    assert (await purge(house))["jobs"] == 3
    assert await kept(house) == ids[3:]
    assert (await purge(house))["jobs"] == 0


@keeps(retention_jobs=None, retention_jobs_max=4)
async def test_as_many_as_are_kept_are_left_alone(house: House) -> None:
    await jobs(house, 4, NOW)
    assert (await purge(house))["jobs"] == 0


@keeps(retention_jobs=LONGEST, retention_timelines=LONGEST)
async def test_the_longest_age_keeps_everything(house: House) -> None:
    await jobs(house, 1, NOW - timedelta(days=10_000))
    assert not +(await purge(house))
    assert await house.metric('hodei_retention_failures_total{kind="jobs"}') == 0


@keeps(retention_jobs=None, retention_jobs_max=None)
async def test_without_limits_everything_stays(house: House) -> None:
    await jobs(house, 4, NOW - timedelta(days=10_000))
    assert not +(await purge(house))


@pytest.mark.parametrize("own_settings", [{}, {"retention_jobs": None, "retention_jobs_max": 1}], indirect=True)
async def test_the_last_jobs_of_each_pipeline_stay(house: House) -> None:
    some, few = new_id(), new_id()
    of_some, of_few = await jobs(house, 5, OLD, pipeline=some), await jobs(house, 1, OLD, pipeline=few)
    await jobs(house, 2, OLD)
    newest = await jobs(house, 1, YOUNG)

    assert (await purge(house))["jobs"] == 5
    assert await kept(house) == sorted([*of_some[-2:], *of_few, *newest])


async def test_the_last_jobs_of_an_archived_pipeline_go_as_well(house: House) -> None:
    archived, active = [str((await house.pipeline())["id"]) for _ in range(2)]
    await jobs(house, 2, OLD, pipeline=archived)
    rest = await jobs(house, 2, OLD, pipeline=active)
    await house.call("DELETE", f"/api/v1/pipelines/{archived}", status=204)
    assert (await purge(house))["jobs"] == 2
    assert await kept(house) == rest


@keeps(retention_jobs_per_pipeline=None)
async def test_all_jobs_of_pipelines_may_stay(house: House) -> None:
    await jobs(house, 3, OLD, pipeline=new_id())
    await jobs(house, 2, OLD)
    assert (await purge(house))["jobs"] == 2


@keeps(retention_jobs_per_pipeline=PAGE)
async def test_what_is_due_is_found_behind_whole_pages_of_what_stays(house: House) -> None:
    pipeline = new_id()
    for hours in (4, 3):
        await jobs(house, PAGE // 2 + 10, OLD - timedelta(hours=hours), pipeline=pipeline)
    due = await jobs(house, 2 * JOBS_AT_ONCE + 1, OLD)
    [young] = await jobs(house, 1, YOUNG)

    assert (await purge(house))["jobs"] == len(due) + 20
    assert len(await kept(house)) == PAGE + 1
    await purge(house)
    oldest = await house.metric('hodei_retention_oldest_seconds{kind="jobs"}')
    assert oldest == pytest.approx((datetime.now(UTC) - YOUNG).total_seconds(), abs=600), "those that stay do not count"
    assert young in await kept(house)


async def test_a_job_that_another_transaction_holds_goes_the_next_time(house: House) -> None:
    [held, _] = await jobs(house, 2, OLD)
    async with house.database.transaction() as tx:
        await tx.execute("select from jobs where id = $1::uuid for update", held)
        assert (await purge(house))["jobs"] == 1
        assert await kept(house) == [held]
    assert (await purge(house))["jobs"] == 1


async def test_a_job_that_a_schedule_will_run_again_stays(house: House, scheduler: Scheduler) -> None:
    [_, needed, _] = await jobs(house, 3, OLD)
    scheduler.needs = {needed}
    assert (await purge(house))["jobs"] == 2
    assert await kept(house) == [needed]
    assert await house.metric('hodei_retention_oldest_seconds{kind="jobs"}') == 0
    scheduler.needs = set()
    assert (await purge(house))["jobs"] == 1


async def test_nothing_goes_while_the_scheduler_does_not_answer(house: House, scheduler: Scheduler) -> None:
    scheduler.away = True
    [job] = await jobs(house, 1, OLD)
    assert not +(await purge(house))
    assert await kept(house) == [job]
    assert await house.metric('hodei_retention_failures_total{kind="jobs"}') > 0


async def test_the_orchestrator_says_which_jobs_do_not_exist(house: House) -> None:
    [job] = await jobs(house, 1, NOW)
    gone = new_id()
    found = await ask(house.bus, MISSING_JOBS, JobsQuestion(job_ids=[job, gone, "x"]))
    assert found.missing == [gone]


async def test_the_metrics_tell_what_went_and_what_is_due(house: House) -> None:
    await jobs(house, 3, OLD)
    await purge(house)
    assert await house.metric('hodei_retention_deleted_total{kind="jobs"}') == 3
    assert await house.metric('hodei_retention_limit_seconds{kind="jobs"}') == AGE.total_seconds()
    assert await house.metric('hodei_retention_oldest_seconds{kind="jobs"}') == 0


@keeps(retention_timelines=AGE / 2)
async def test_timelines_may_go_before_their_jobs(house: House) -> None:
    [early] = await jobs(house, 1, NOW - AGE * 0.6)
    [late] = await jobs(house, 1, NOW - AGE * 0.4)
    assert +(await purge(house)) == {"timelines": 1}
    assert await kept(house) == sorted([early, late])
    assert await kept(house, "timeline", "job_id") == [late]


@keeps(retention_timelines=AGE / 2)
async def test_a_timeline_that_is_no_longer_kept_says_so(house: House) -> None:
    [early] = await jobs(house, 1, NOW - AGE * 0.6)
    assert (await purge(house))["timelines"] == 1
    [entry] = await house.get(f"/api/v1/jobs/{early}/events")
    ended = (await house.get(f"/api/v1/jobs/{early}"))["finished_at"]
    assert entry == {"id": "0.0", "type": "timeline.expired", "time": ended, "data": {"job_id": early}}
    headers = {"Accept": "text/event-stream"}
    async with house.http.get(f"{house.url}/api/v1/jobs/{early}/events", headers=headers) as answer:
        text = await answer.text()
    assert "event: timeline.expired\n" in text
    assert "event: end\n" in text


async def versions(house: House, pipeline: str) -> list[int]:
    return sorted(one["version"] for one in await house.get(f"/api/v1/pipelines/{pipeline}/versions"))


async def with_versions(house: House, count: int, *, replaced: timedelta = 2 * AGE) -> str:
    """A pipeline with so many versions, made one after the other long ago."""
    pipeline = str((await house.pipeline())["id"])
    for number in range(2, count + 1):
        await house.call("PUT", f"/api/v1/pipelines/{pipeline}", {"name": f"version {number}", "steps": []})
    update = "update pipeline_versions set created_at = $2::timestamptz + make_interval(secs => version)"
    await house.database.execute(f"{update} where pipeline_id = $1::uuid", pipeline, NOW - replaced)
    return pipeline


async def names_version(house: House, job_ids: list[str], version: int) -> None:
    await house.database.execute("update jobs set pipeline_version = $2 where id = any($1::uuid[])", job_ids, version)


async def of_pipelines(house: House) -> Counter[str]:
    store = RetentionStore(house.database)
    kinds = PipelineVersions(store, age=AGE), ArchivedPipelines(store, age=AGE)
    return Counter(await Retention(kinds, Metrics(), rest=0).run_once())


async def test_versions_go_that_were_replaced_long_ago_and_that_no_job_names(house: House) -> None:
    pipeline, other = await with_versions(house, 5), await with_versions(house, 1)
    await names_version(house, await jobs(house, 1, NOW, pipeline=pipeline), 2)
    assert await of_pipelines(house) == {"pipeline_versions": 3, "archived_pipelines": 0}
    assert await versions(house, pipeline) == [2, 5], "the last one stays, and what a job names"
    assert await versions(house, other) == [1]
    assert (await house.submit(pipeline_id=pipeline))["pipeline_version"] == 5


async def test_versions_that_were_replaced_lately_stay(house: House) -> None:
    pipeline = await with_versions(house, 3, replaced=AGE / 2)
    assert (await of_pipelines(house))["pipeline_versions"] == 0
    assert await versions(house, pipeline) == [1, 2, 3]


async def test_jobs_of_a_pipeline_are_looked_at_some_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_retention, "JOBS_AT_ONCE", 2)
    monkeypatch.setattr(pipeline_retention, "PAGE", 2)
    pipelines = [await with_versions(house, 4) for _ in range(2)]
    for pipeline in pipelines:
        await names_version(house, await jobs(house, 1, NOW - timedelta(hours=1), pipeline=pipeline), 1)
        await names_version(house, await jobs(house, 6, NOW, pipeline=pipeline), 4)
    assert (await of_pipelines(house))["pipeline_versions"] == 4
    assert [await versions(house, pipeline) for pipeline in pipelines] == [[1, 4], [1, 4]]


async def test_archived_pipelines_go_once_their_jobs_are_gone(house: House) -> None:
    used, unused, fresh = [await with_versions(house, 2) for _ in range(3)]
    await jobs(house, 1, NOW, pipeline=used)
    for pipeline in (used, unused, fresh):
        await house.call("DELETE", f"/api/v1/pipelines/{pipeline}", status=204)
    update = "update pipelines set archived_at = $2 where id = any($1::uuid[])"
    await house.database.execute(update, [used, unused], OLD)
    active = await with_versions(house, 1)

    assert (await of_pipelines(house))["archived_pipelines"] == 1

    archived = {one["id"] for one in await house.get("/api/v1/pipelines?status=archived")}
    assert archived == {used, fresh}
    assert [one["id"] for one in await house.get("/api/v1/pipelines")] == [active]
    await house.get(f"/api/v1/pipelines/{unused}/versions", status=404)


async def test_a_pass_over_pipelines_begins_once_an_hour(house: House) -> None:
    clock = 0.0
    store = RetentionStore(house.database)
    kind = PipelineVersions(store, age=AGE, clock=lambda: clock)
    await kind.batch()
    pipeline = await with_versions(house, 2)
    for clock, left in ((PASS_EVERY - 1, [1, 2]), (PASS_EVERY, [2])):  # noqa: B007 - the lambda reads it
        await Retention([kind], Metrics(), rest=0).run_once()
        assert await versions(house, pipeline) == left


async def test_two_orchestrators_delete_each_job_once(house: House) -> None:
    await jobs(house, 3 * JOBS_AT_ONCE, OLD)
    settings = house.settings.model_copy(update={"port": 0})
    other = [one for one in build(settings) if not isinstance(one, Consumer)]
    started: list[Service] = []
    try:
        await start_all(other, started)
        [theirs] = [one for one in other if isinstance(one, Retention)]
        counts = await asyncio.gather(purge(house), theirs.next_run())
    finally:
        await stop_all(started, deadline=10)
    assert await kept(house) == []
    told = await house.ears.wait(JobDeleted, 3 * JOBS_AT_ONCE)
    assert len({one.job_id for one in told}) == len(told) == 3 * JOBS_AT_ONCE, counts
