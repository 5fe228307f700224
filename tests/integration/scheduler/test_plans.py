"""The hot queries use their indexes on tables of some size."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from scheduler.store import tables
from shared.ids import new_id
from shared.postgres import Call, Database, Described, narrowed, narrowed_by, queries, with_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    """20,000 tasks, of which few wait or are placed, 2,000 workers, 20,000 schedules, and 20,000 firings."""
    database = Database(migrated_database_url, schema="scheduler", name="test", min_size=1, max_size=2)
    await database.start()
    await database.execute(
        """
        insert into tasks (task_id, job_id, attempt, status, name, priority, requires, queued_at, ready_at, run_at,
                           worker_id, done_at)
        select gen_random_uuid(), gen_random_uuid(), 1,
               case when n % 20 = 0 then 'waiting' when n % 20 = 1 then 'placed' else 'done' end,
               'x', n % 4, '{}', now(), now() + make_interval(secs => n), case when n % 40 = 0 then now() end,
               gen_random_uuid(), now()
        from generate_series(1, 20000) n
        """
    )
    await database.execute(
        """
        insert into workers (id, type, name, status, labels, slots, prefetch, has_agent, since, registered_at)
        select gen_random_uuid(), 'default', 'x', 'online', '{}', 1, 0, true, now(), now()
        from generate_series(1, 2000)
        """
    )
    await database.execute(
        """
        insert into schedules (id, status, name, target, next_run_at, created_at, heard_at, created_by)
        select lpad(to_hex(n), 32, '0')::uuid, case when n % 200 = 0 then 'failed' else 'completed' end,
               case when n % 2 = 0 then 's' || n % 400 end, '{}', case when n % 1000 = 0 then now() end, now(),
               case when n % 1000 > 0 then now() end,
               jsonb_build_object('id', lpad(to_hex(n % 400), 32, '0')::uuid, 'name', 'token-' || n % 400)
        from generate_series(1, 20000) n
        """
    )
    await database.execute(
        """
        insert into firings (id, schedule_id, kind, outcome, due_at, fired_at, heard_at)
        select gen_random_uuid(), lpad(to_hex(n % 200 + 1), 32, '0')::uuid, 'time',
               case when n % 1000 = 0 then 'waiting' when n % 500 = 1 then 'fired' else 'succeeded' end,
               now() + make_interval(secs => n), now(), case when n % 1000 <> 1 then now() end
        from generate_series(1, 20000) n
        """
    )
    await database.execute(
        """
        insert into job_priorities (job_id, priority, changes, changed_at)
        select gen_random_uuid(), 1, 1, now() + make_interval(secs => n) from generate_series(1, 20000) n
        """
    )
    await database.execute("analyze")
    yield database
    await database.stop()


def _queue(**values: object) -> dict[str, object]:
    names = ("priority", "job_id", "name", "attempt", "requires", "labels", "rank", "ready_at", "task_id")
    assert set(values) <= set(names)
    return {name: values.get(name) for name in names} | {"as_of": NOW, "limit": 101, "before": 0}


FILTERS: dict[str, object] = {
    **{"priority": 1, "job_id": new_id(), "name": "x", "attempt": 1},
    **{"requires": {"zone": "north"}, "labels": {"team": "web"}},
}


CREATORS = ("created_by_id", "created_by_name")


def _schedules(**values: object) -> dict[str, object]:
    names = ("before", "status", "job_id", "pipeline_id", "name", "name_from", "name_to", *CREATORS)
    return {name: values.get(name) for name in names} | {"limit": 101}


def _workers(**values: object) -> dict[str, object]:
    names = ("before", "status", "type", "name", "has_agent", "drained", "drained_by_id", "drained_by_name", "labels")
    return {name: values.get(name) for name in (*names, "name_from", "name_to", "reserved_for")} | {"limit": 101}


CASES: list[tuple[str, list[object] | dict[str, object], set[str]]] = [
    ("queue_ready", _queue(), {"tasks_waiting"}),
    ("queue_ready", _queue(**FILTERS, rank=1, ready_at=NOW, task_id=new_id()), {"tasks_waiting"}),
    ("queue_delayed", _queue(), {"tasks_delayed"}),
    ("queue_delayed", _queue(**FILTERS, ready_at=NOW, task_id=new_id()), {"tasks_delayed"}),
    ("find_task", [new_id()], {"tasks_pkey"}),
    ("purge_done", [NOW, 1000], {"tasks_done", "tasks_pkey"}),
    ("list_workers", _workers(), {"workers_pkey", "tasks_placed"}),
    ("get_worker", [new_id()], {"workers_pkey", "tasks_placed"}),
    ("scheduled_jobs", [[new_id()]], {"schedules_of_job"}),
    ("list_schedules", _schedules(), {"schedules_pkey"}),
    ("list_schedules", _schedules(status="failed"), {"schedules_by_status"}),
    ("list_schedules", _schedules(name="s2"), {"schedules_by_name"}),
    ("list_schedules", _schedules(name_from="s2", name_to="s2!"), {"schedules_by_name"}),
    ("list_schedules", _schedules(created_by_id=new_id()), {"schedules_by_creators_id"}),
    ("list_schedules", _schedules(created_by_name="token-7"), {"schedules_by_creators_name"}),
    ("get_schedule", [new_id()], {"schedules_pkey"}),
    ("due_schedules", [NOW, 100], {"schedules_due", "firings_waiting_of"}),
    ("next_due", [], {"schedules_due"}),
    ("waiting_firings", [100], {"schedules_pkey"}),
    ("drop_waiting", [[new_id()], "paused"], {"firings_waiting_of"}),
    ("prune_firings", [[new_id()], 100], {"firings_once"}),
    ("list_firings", [new_id(), NOW, 101], {"firings_once"}),
    ("finish_firings", [[new_id()], ["failed"], ["lost"], [NOW]], {"firings_pkey"}),
    ("refuse_firings", [[new_id()], ["skipped"], ["overlap"], ["no"]], {"firings_pkey"}),
    ("unheard_firings", [15.0, 100, new_id()], {"firings_open"}),
    ("open_firings", [15.0, 100, new_id()], {"firings_open"}),
    ("load_placed", [], {"tasks_placed"}),
    ("load_waiting", {"priority": None, "ready_at": None, "task_id": None, "limit": 101}, {"tasks_waiting"}),
    ("load_waiting", {"priority": 1, "ready_at": NOW, "task_id": new_id(), "limit": 101}, {"tasks_waiting"}),
    ("get_runs", [[new_id()], [1]], {"tasks_pkey"}),
    ("write_done", [[new_id()], [1], ["succeeded"], [None]], {"tasks_pkey"}),
    ("write_updates", [[new_id()], [1], ["waiting"], [1], *[[]] * 7], {"tasks_pkey"}),
    ("load_priorities", [10], {"job_priorities_changed"}),
    ("purge_priorities", [NOW, 100], {"job_priorities_changed", "job_priorities_pkey"}),
    ("recall_tasks", [[new_id()]], {"tasks_pkey"}),
    ("unheard_schedules", [15.0, 100], {"schedules_unheard"}),
]


ROWS: dict[str, dict[str, Described]] = {
    "write_done": {"tasks": tables.ENDS},
    "write_updates": {"tasks": tables.MOVES},
    **{name: {"tasks": tables.STORED} for name in ("find_task", "load_placed", "load_waiting")},
}


def _query(name: str, values: list[object] | dict[str, object]) -> Call:
    query = queries.load_queries("scheduler")[name]
    rows = ROWS.get(name, {})
    if not isinstance(values, dict):
        return narrowed(with_rows(query, **rows), *values)
    return narrowed(with_rows(query, *values, **rows), *values.values()) if rows else narrowed_by(query, values)


@pytest.mark.parametrize(
    ("name", "arguments", "indexes"), CASES, ids=[f"{name}-{at}" for at, (name, _, _) in enumerate(CASES)]
)
async def test_a_hot_query_reads_no_whole_table(
    database: Database, name: str, arguments: list[object] | dict[str, object], indexes: set[str]
) -> None:
    query, values = _query(name, arguments)
    found = await database.fetch_value(f"explain (format json) {query}", *values)
    plan = found if isinstance(found, str) else json.dumps(found)
    assert '"Seq Scan"' not in plan
    assert indexes <= set(re.findall(r'"Index Name": ?"([a-z_]+)"', plan))
