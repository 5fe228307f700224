"""The hot queries use their indexes on tables of some size."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from orchestrator.domain.definition import StepRules
from orchestrator.domain.executions import ExecutionRow
from orchestrator.domain.run import JobRun
from orchestrator.domain.state import JobState, TaskState
from orchestrator.store import tables
from orchestrator.store.jobs import JobStore
from orchestrator.store.rules import RULES
from schemas.states import JOB, ExecutionStatus, TaskStatus
from shared.ids import new_id
from shared.postgres import Database, Described, narrowed_by, queries, with_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [new_id() for _ in range(20)]
MIDDLE = f"{10_000:032x}"
"""The id of a job in the middle."""


ENDED = [status.value for status in JOB.final]


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    """20,000 jobs of one task, one execution and two timeline rows each; few of them run."""
    database = Database(migrated_database_url, schema="orchestrator", name="test", min_size=1, max_size=2)
    await database.start()
    await database.execute(
        """
        insert into jobs (id, name, status, pipeline_id, priority, params, labels, deadline, rerun_of, schedule_id,
                          created_at, finished_at, reason, pipeline_version, created_by, cancelled_by)
        select lpad(to_hex(n), 32, '0')::uuid, 'job-' || n % 500,
               case when n % 100 = 0 then 'running' when n % 10 = 1 then 'failed' else 'succeeded' end,
               lpad(to_hex(n % 200), 32, '0')::uuid, case when n % 4000 = 3 then 'critical' else 'normal' end,
               case when n % 200 = 5 then '{"env": "prod", "password": "x"}' else '{}' end::json,
               case when n % 100 = 7 then '{"team": "web", "tier": "1"}' else '{}' end::jsonb,
               case when n % 50 = 0 then now() end,
               case when n % 40 = 0 then lpad(to_hex(n - 1), 32, '0')::uuid end,
               case when n % 40 = 1 then lpad(to_hex(n % 400), 32, '0')::uuid end,
               '2026-01-01Z'::timestamptz + make_interval(mins => n), case when n % 100 <> 0 then now() end,
               case when n % 4000 = 1 then 'timeout' when n % 10 = 1 then 'exit_code' end, n / 5000 + 1,
               case when n % 20 = 7 then json_build_object(
                   'id', lpad(to_hex(n % 400), 32, '0')::uuid, 'name', 'token-' || n % 400
               ) end,
               case when n % 20 = 1 then json_build_object(
                   'id', lpad(to_hex(n % 400), 32, '0')::uuid, 'name', 'token-' || n % 400
               ) end
        from generate_series(1, 20000) n
        """
    )
    await database.execute(
        """
        insert into tasks (job_id, id, position, name, depends_on, allow_failure, retry_on_lost, max_crashes, run,
                           requires, status, attempt, queued_at)
        select id, gen_random_uuid(), 0, 'main', '[]', false, true, 3, '{}', '{}',
               case when status = 'running' then 'queued' else 'succeeded' end, 1, now()
        from jobs
        """
    )
    await database.execute(
        """
        insert into executions (job_id, id, task_id, attempt, status, placed_at)
        select job_id, gen_random_uuid(), id, 1, 'succeeded', now() from tasks
        """
    )
    await database.execute(
        "insert into timeline (job_id, entries) select id, '[]' from jobs cross join generate_series(1, 2)"
    )
    await database.execute(
        """
        insert into pipelines (id, name, version, archived_at, created_at, updated_at)
        select lpad(to_hex(n), 32, '0')::uuid, 'p-' || n % 100, 1, case when n % 3 = 0 then now() end, now(), now()
        from generate_series(1, 3000) n
        """
    )
    await database.execute(
        """
        insert into pipeline_versions (pipeline_id, version, name, steps, env, created_at)
        select id, 1, name, '[]', '{}', now() from pipelines
        """
    )
    await database.execute(
        """
        insert into claims (job_id, space, key, slot_limit, when_full, rank, since, arrived, held_at, superseded_by)
        select id, 'key', name, 1, 'queue', 1, created_at, n % 50 <> 9, case when n % 100 = 0 then now() end,
               case when n % 2000 = 0 then id end
        from (select *, row_number() over (order by id) as n from jobs) j
        """
    )
    await database.execute("update jobs set concurrency_key = name where status = 'running'")
    await database.execute("analyze")
    yield database
    await database.stop()


CREATORS = ("created_by_id", "created_by_name")
UPDATERS = ("updated_by_id", "updated_by_name")


def _list(**values: object) -> dict[str, object]:
    names = ("before", "status", "pipeline_id", "name", "priority", "rerun_of", "schedule_id", "reason", "below")
    more = ("pipeline_version", "short_id", "labels", "created_after", "created_before", "normal", "concurrency_key")
    more += ("statuses", "pipeline", "pipelines", "name_from", "name_to")
    more += ("parameters", "finished_after", "finished_before", "unstopped")
    who = (*CREATORS, "cancelled_by_id", "cancelled_by_name")
    assert set(values) <= {*names, *more, *who}
    return {name: values.get(name) for name in (*names, *more, *who)} | {"limit": 101}


def _pipelines(**values: object) -> dict[str, object]:
    names = ("active", "archived", "before", "name", "name_from", "name_to", "version", *CREATORS, *UPDATERS)
    assert set(values) <= set(names)
    return {name: values.get(name) for name in names} | {"limit": 101}


RUN = JobRun(JobState(IDS[0], "job", NOW, started_at=NOW), {}, lambda: 0.0)
TASK = TaskState(IDS[1], StepRules("main"), status=TaskStatus.RUNNING, queued_at=NOW, started_at=NOW)
EXECUTION = ExecutionRow(
    *(IDS[2], IDS[0], IDS[1], 1, IDS[3], ExecutionStatus.RUNNING, NOW),
    worker_name="north",
    started_at=NOW,
    log_chunks=0,
)
SAVED: list[object] = [
    *tables.JOBS.arrays([RUN]),
    *tables.TASKS.arrays([tables.TaskRow(IDS[0], TASK)]),
    *tables.EXECUTIONS.arrays([EXECUTION]),
    *tables.TIMELINE.arrays([tables.TimelineRow(IDS[0], b"")]),
]

OVER: dict[str, object] = {"status": "failed", "before": NOW, "below": IDS[0], "limit": 100}
PAGE_OVER = OVER | {"after": MIDDLE, "logs_since": NOW}

CASES: list[tuple[str, list[object] | dict[str, object], set[str]]] = [
    ("pipeline_statistics", [f"{7:032x}", 30], {"jobs_pipeline", "pipelines_pkey"}),
    ("purge_job_minutes", [timedelta(days=90), 1000], {"job_minutes_pkey"}),
    ("lock_jobs", [IDS], {"jobs_pkey"}),
    ("get_tasks", [IDS], {"tasks_pkey", "executions_pkey"}),
    ("get_commands", [IDS, IDS], {"tasks_id"}),
    ("get_job", [IDS[0]], {"jobs_pkey", "tasks_pkey", "executions_pkey"}),
    ("describe_task", [IDS[0]], {"tasks_id", "jobs_pkey"}),
    ("get_job_status", [IDS[0]], {"jobs_pkey"}),
    ("count_open_jobs", [1000], {"jobs_status"}),
    ("list_jobs", _list(), {"jobs_pkey"}),
    ("list_jobs", _list(before=IDS[0]), {"jobs_pkey"}),
    ("list_jobs", _list(before=IDS[0], status="running", name="job-7", priority="critical"), {"jobs_priority"}),
    ("list_jobs", _list(status="running"), {"jobs_status"}),
    ("list_jobs", _list(pipeline_id=IDS[0]), {"jobs_pipeline"}),
    ("list_jobs", _list(name="job-7"), {"jobs_name"}),
    ("list_jobs", _list(rerun_of=IDS[0]), {"jobs_rerun_of"}),
    ("list_jobs", _list(schedule_id=IDS[0]), {"jobs_schedule"}),
    ("list_jobs", _list(priority="critical"), {"jobs_priority"}),
    ("list_jobs", _list(normal=True), {"jobs_pkey"}),
    ("list_jobs", _list(reason="timeout"), {"jobs_reason"}),
    ("list_jobs", _list(reason="timeout", created_after=NOW), {"jobs_reason"}),
    ("list_jobs", _list(pipeline_id=f"{7:032x}", pipeline_version=5), {"jobs_pipeline"}),
    ("list_jobs", _list(concurrency_key="job-100"), {"jobs_concurrency_key"}),
    ("list_jobs", _list(short_id=IDS[0][-8:]), {"jobs_short_id"}),
    ("list_jobs", _list(labels={"team": "web"}), {"jobs_labels"}),
    ("list_jobs", _list(created_by_id=IDS[0], statuses=ENDED), {"jobs_created_by_id"}),
    ("list_jobs", _list(created_by_name="token-7", statuses=ENDED), {"jobs_created_by_name"}),
    ("list_jobs", _list(created_by_id=IDS[0], statuses=["failed", "cancelled"]), {"jobs_created_by_id"}),
    ("list_jobs", _list(created_by_name="token-7", status="failed"), {"jobs_created_by_name"}),
    ("list_jobs", _list(created_by_id=IDS[0], status="pending"), {"jobs_status"}),
    ("list_jobs", _list(created_by_name="token-7", status="running"), {"jobs_status"}),
    ("list_jobs", _list(cancelled_by_id=IDS[0]), {"jobs_cancelled_by_id"}),
    ("list_jobs", _list(cancelled_by_name="token-7"), {"jobs_cancelled_by_name"}),
    ("list_jobs", _list(labels={"team": "web", "tier": "1"}, status="failed"), {"jobs_labels"}),
    ("list_jobs", _list(created_after=NOW + timedelta(days=13, hours=20)), {"jobs_created"}),
    ("list_jobs", _list(created_after=NOW, created_before=NOW + timedelta(hours=1)), {"jobs_created"}),
    ("list_jobs", _list(created_before=NOW + timedelta(days=5), below=MIDDLE), {"jobs_pkey"}),
    ("list_jobs", _list(created_before=NOW + timedelta(days=5), below=MIDDLE, status="running"), {"jobs_status"}),
    ("list_jobs", _list(statuses=["running", "pending"]), {"jobs_status"}),
    ("list_jobs", _list(statuses=["running", "pending"], unstopped=True), {"jobs_status"}),
    ("list_jobs", _list(pipeline=f"{7:032x}"), {"jobs_pipeline"}),
    ("list_jobs", _list(pipelines=[f"{7:032x}", f"{8:032x}"]), {"jobs_pipeline"}),
    ("list_jobs", _list(name_from="job-499", name_to="job-49:"), {"jobs_name"}),
    ("pipelines_named", ["p-7"], {"pipelines_name", "pipelines_archived_name"}),
    ("list_jobs", _list(parameters={"env": "prod"}), {"jobs_params"}),
    ("list_jobs", _list(finished_after=NOW, finished_before=NOW + timedelta(days=1), below=MIDDLE), {"jobs_finished"}),
    ("jobs_over_before", PAGE_OVER | {"labels": None}, {"jobs_finished", "executions_pkey"}),
    ("jobs_over_before", PAGE_OVER | {"labels": {"team": "web"}}, {"jobs_finished", "executions_pkey"}),
    ("count_jobs_over_before", OVER | {"labels": None}, {"jobs_finished"}),
    ("count_jobs_over_before", OVER | {"labels": {"team": "web"}}, {"jobs_finished"}),
    ("newest_jobs_over", [IDS[0], 1000], {"jobs_status"}),
    ("jobs_to_purge", [f"{0:032x}", MIDDLE, NOW, IDS[0], 20, 500], {"jobs_pkey", "jobs_pipeline", "tasks_pkey"}),
    ("oldest_job_over", [MIDDLE, 500], {"jobs_pkey"}),
    ("timelines_to_purge", [f"{0:032x}", MIDDLE, NOW, 500], {"jobs_pkey", "timeline_pkey"}),
    ("expired_timeline", [IDS[0]], {"jobs_pkey", "timeline_pkey"}),
    ("superseded_versions", [f"{0:032x}", 0, NOW, 500], {"pipeline_versions_pkey"}),
    ("versions_of_jobs", [f"{7:032x}", MIDDLE, 1000], {"jobs_pipeline"}),
    ("delete_versions", [IDS[0], [1, 2]], {"pipeline_versions_pkey"}),
    ("archived_pipelines", [f"{0:032x}", NOW, 500], {"pipelines_archived", "jobs_pipeline"}),
    ("delete_pipelines", [IDS[:2]], {"pipeline_versions_pkey"}),
    ("missing_jobs", [IDS], {"jobs_pkey"}),
    ("lock_jobs_to_delete", [IDS], {"jobs_pkey"}),
    ("lock_jobs_to_purge", [IDS], {"jobs_pkey"}),
    ("delete_jobs", [IDS, timedelta(days=8)], {"jobs_pkey", "tasks_pkey", "executions_pkey", "timeline_pkey"}),
    ("delete_timelines", [IDS], {"timeline_pkey"}),
    ("get_pipeline_version", [IDS[0], 1], {"pipeline_versions_pkey"}),
    (
        "list_pipeline_versions",
        {"pipeline_id": IDS[0], "before": None, **dict.fromkeys(UPDATERS), "limit": 101},
        {"pipeline_versions_pkey"},
    ),
    ("find_pipeline", [IDS[0]], {"pipelines_pkey"}),
    ("get_timeline", [IDS[0], 0, 100], {"timeline_pkey"}),
    ("get_job_executions", [IDS[0]], {"executions_pkey", "tasks_pkey"}),
    ("due_jobs", [NOW, 100], {"jobs_due"}),
    ("next_deadline", [], {"jobs_due"}),
    ("overdue_tasks", ["running", NOW, IDS[0], IDS[0], 500], {"tasks_pkey"}),
    ("queued_tasks", [IDS, IDS, 1 << 20], {"tasks_id"}),
    ("known_tasks", [IDS, IDS], {"tasks_id"}),
    ("ended_executions", [IDS, IDS], {"executions_pkey"}),
    ("close_late_executions", [[IDS[0]], [IDS[1]], NOW], {"executions_pkey"}),
    ("save_runs", SAVED, {"jobs_pkey", "tasks_id"}),
    ("get_pipeline", [IDS[0]], {"pipeline_versions_pkey"}),
    ("list_pipelines", _pipelines(active=True), {"pipelines_active"}),
    ("list_pipelines", _pipelines(active=True, name="p-7"), {"pipelines_name"}),
    ("list_pipelines", _pipelines(archived=True, before=IDS[0]), {"pipelines_archived"}),
    ("list_pipelines", _pipelines(archived=True, name="p-7"), {"pipelines_archived_name"}),
    ("pipelines_to_run", [IDS[:2]], {"pipeline_versions_pkey"}),
    ("lines", [["key"], ["job-7"], 3], {"claims_held", "jobs_pkey"}),
    ("oldest_jobs", ["key", "job-7", 3], {"jobs_pkey"}),
    ("supersede", [[IDS[0]], ["key"], [IDS[0]]], {"claims_pkey"}),
    ("claims_in_need", [], {"claims_superseded"}),
    ("arriving_jobs", [NOW, 100], {"claims_to_arrive"}),
    ("superseded_jobs", [100], {"claims_superseded", "jobs_pkey"}),
    ("keys_with_room", [50], {"claims_held"}),
    ("admissible_jobs", [["key"], ["job-7"], 20], {"claims_held", "claims_limits", "claims_pkey"}),
    ("waiting_claims", [IDS], {"claims_pkey"}),
    ("hold_claims", [IDS, NOW], {"claims_pkey", "jobs_pkey"}),
    ("free_claims", [IDS], {"claims_pkey"}),
    ("describe_wait", [IDS[0], 10], {"claims_pkey", "claims_held"}),
    ("close_returned_executions", [[IDS[0]], [IDS[1]], [None], NOW], {"executions_pkey"}),
]


ROWS: dict[str, dict[str, Described]] = {
    "save_runs": {
        "jobs": tables.JOBS,
        "tasks": tables.TASKS,
        "executions": tables.EXECUTIONS,
        "timeline": tables.TIMELINE,
    },
    **{name: {"rules": RULES} for name in ("get_job", "get_tasks", "queued_tasks")},
}


def _query(name: str, values: list[object] | dict[str, object]) -> tuple[str, tuple[object, ...]]:
    query = queries.load_queries("orchestrator")[name]
    if isinstance(values, dict):
        return narrowed_by(query, values)
    return with_rows(query, **ROWS.get(name, {})), tuple(values)


async def test_hot_queries_read_no_whole_table(database: Database) -> None:
    faults: list[str] = []
    for name, values, indexes in CASES:
        query, arguments = _query(name, values)
        async with database.transaction() as tx:
            # Tables here are small: where an index could be used at all, a larger one would use it.
            await tx.execute("set local enable_seqscan = off")
            found = await tx.fetch_value(f"explain (format json) {query}", *arguments)
        plan = found if isinstance(found, str) else json.dumps(found)
        used = set(re.findall(r'"Index Name": ?"([a-z_]+)"', plan))
        if '"Seq Scan"' in plan:
            faults.append(f"{name} {values} reads a whole table")
        if missing := indexes - used:
            faults.append(f"{name} {values} uses {sorted(used)}, not {sorted(missing)}")
    assert not faults, "\n".join(faults)


async def test_the_version_of_a_pipeline_is_compared_within_the_index(database: Database) -> None:
    query, arguments = _query("list_jobs", _list(pipeline_id=f"{7:032x}", pipeline_version=5))
    rows = await database.fetch(f"explain {query}", *arguments)
    [condition] = [row[0] for row in rows if "Index Cond" in row[0]]
    assert "pipeline_version = 5" in condition


async def test_it_is_known_how_many_jobs_have_a_parameter(database: Database) -> None:
    """Otherwise the newest jobs are read, all of them, for a parameter that none has."""
    query, arguments = _query("list_jobs", _list(parameters={"env": "none"}))
    rows = await database.fetch(f"explain {query}", *arguments)
    [found] = [row[0] for row in rows if "Index Scan on jobs_params" in row[0]]
    assert "rows=1 " in found


async def test_a_task_that_changes_its_status_changes_in_place(database: Database) -> None:
    """An index with a column that most updates change would be written with each of them, and all others with it."""
    definitions = await database.fetch("select indexdef from pg_indexes where schemaname = 'orchestrator'")
    of_tasks = [row["indexdef"] for row in definitions if " on orchestrator.tasks " in row["indexdef"].lower()]
    assert len(of_tasks) == 3
    changed = {column.name for column in tables.TASKS.columns if not column.key}
    for definition in of_tasks:
        assert not changed & set(re.findall(r"\w+", definition.split("(", 1)[1])), definition


async def test_it_is_known_how_many_jobs_a_token_submitted(database: Database) -> None:
    """Otherwise all jobs of a token are read for the few of them that are open."""
    await database.execute("""update jobs set created_by = '{"id": "1", "name": "ci"}', cancelled_by = created_by""")
    await database.execute("analyze jobs")
    for column, key, value, jobs in (
        ("created_by", "name", "ci", 20_000),
        ("created_by", "id", "1", 20_000),
        ("cancelled_by", "name", "token-7", 50),
        ("cancelled_by", "id", str(UUID(int=7)), 50),
    ):
        rows = await database.fetch(f"explain select from jobs where {column} ->> '{key}' = $1", value)
        [estimate] = re.findall(r"rows=(\d+)", rows[0][0])
        assert int(estimate) == pytest.approx(jobs, rel=0.3), (column, key)


async def test_a_count_is_not_sorted(database: Database) -> None:
    listed = _list(statuses=["succeeded", "failed"], labels={"team": "web"})
    query, arguments = narrowed_by(JobStore(database)._count_listed, listed)
    plan = "\n".join(row[0] for row in await database.fetch(f"explain {query}", *arguments))
    assert "jobs_labels" in plan
    assert "Sort" not in plan
