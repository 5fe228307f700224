"""Fills what the console's pages show beside finished jobs: a queue, a fleet, schedules and their history, pipelines,
tokens, and the audit log. All by COPY, but for the queue: its jobs are submitted, so that the scheduler has them in
its memory as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from benchmarks.filling import id_at, rows_of, write_rows
from hodei.client import Client
from schemas.rest.jobs import JobCreate

BATCH: Final = 500
KINDS: Final = 8
"""Kinds of waiting tasks: as many as the page Queue has explained."""
STEP: Final = {"name": "train", "command": ["/bin/true"], "type": "exec", "requires": {"gpu": "yes"}}
FIRINGS: Final = 100
"""The most that a schedule keeps."""
CALLS: Final = (
    (900, "changed", "POST", "/api/v1/jobs", "ci"),
    (950, "changed", "POST", "/api/v1/jobs/{id}/cancel", "ana"),
    (970, "changed", "PATCH", "/api/v1/jobs/{id}", "ana"),
    (980, "changed", "DELETE", "/api/v1/jobs/{id}", "ana"),
    (999, "unauthorized", "POST", "/api/v1/jobs", None),
    (1000, "forbidden", "DELETE", "/api/v1/jobs/{id}", "bob"),
)
"""Of each thousand calls in the audit log, those below a number: outcome, method, route and token."""
FORMER: Final = "former"
"""A token that made the oldest hundred calls, and none since."""

Rows = Iterable[Sequence[object]]


@dataclass(frozen=True)
class Filled:
    """Ids of what a page is opened for."""

    pipeline: str
    schedule: str
    first_task: str
    """The first of the queue."""
    last_task: str
    worker: str
    """The worker that ran everything else."""
    former_worker: str
    """A worker that ran twenty of the oldest executions."""


async def fill_pages(client: Client, connection: asyncpg.Connection[Any], calls: int, waiting: int) -> Filled:
    """Fill all of it, with so many calls in the audit log and tasks in the queue."""
    schedule = await _fill_schedules(client, connection, 1000)
    await _fill_fleet(connection, 1000)
    await _fill_tokens(connection, 1000)
    pipeline = await _fill_pipelines(client, connection, 1000)
    await _copy(connection, "orchestrator.audit", _AUDIT, _audit(calls))
    await _count_jobs(connection)
    former = id_at(datetime.now(UTC), "f", 0)
    worker: str = await connection.fetchval("select worker_id::text from worker_manager.executions limit 1")
    await connection.execute(
        "update worker_manager.executions set worker_id = $1 where id in "
        "(select id from worker_manager.executions order by id limit 20)",
        former,
    )
    await _fill_queue(client, connection, pipeline, waiting)
    await connection.execute("vacuum analyze")
    await connection.execute("checkpoint")
    tasks = await connection.fetch(
        "select task_id::text from scheduler.tasks where status = 'waiting' and run_at is null order by ready_at"
    )
    return Filled(pipeline, schedule, tasks[0][0], tasks[-1][0], worker, former)


async def _copy(connection: asyncpg.Connection[Any], table: str, columns: str, rows: Rows) -> None:
    schema, name = table.split(".")
    await connection.copy_records_to_table(name, schema_name=schema, columns=columns.split(), records=rows)


async def _count_jobs(connection: asyncpg.Connection[Any]) -> None:
    """Add up the numbers of the copied jobs, which the orchestrator has not counted."""
    await connection.execute(
        """
        insert into orchestrator.job_minutes as m
        select date_trunc('minute', created_at), count(*), count(*) filter (where status = 'succeeded'),
               count(*) filter (where status = 'failed'), 0
        from orchestrator.jobs
        group by 1
        on conflict (minute) do nothing
        """
    )
    await connection.execute(
        """
        update orchestrator.job_counts c set succeeded = n.succeeded, failed = n.failed
        from (
            select count(*) filter (where status = 'succeeded') as succeeded,
                   count(*) filter (where status = 'failed') as failed
            from orchestrator.jobs
        ) n
        """
    )


async def _fill_queue(client: Client, connection: asyncpg.Connection[Any], pipeline: str, count: int) -> None:
    """Jobs that no worker can run, and a twentieth more that are not due. Returns once all are in the queue."""
    kinds = [JobCreate(pipeline_id=pipeline)]
    for number in range(KINDS - 1):
        kinds.append(JobCreate(command=["/bin/true"], type="exec", requires={"gpu": f"model-{number}"}, name="waits"))
    later = JobCreate(command=["/bin/true"], type="exec", run_at=datetime.now(UTC) + timedelta(days=1))
    jobs = [kinds[number % KINDS] for number in range(count)] + [later] * (count // 20)
    for first in range(0, len(jobs), BATCH):
        await client.submit_many(jobs[first : first + BATCH])
    there = "select count(*) from scheduler.tasks where status = 'waiting'"
    async with asyncio.timeout(300):
        while await connection.fetchval(there) < len(jobs):
            pass  # each round waits for the server


async def _fill_schedules(client: Client, connection: asyncpg.Connection[Any], count: int) -> str:
    """Copies of a schedule, each with the longest history."""
    wanted = {"name": "backup", "command": "true", "cron": "0 3 1 1 *", "labels": {"team": "web"}}
    original = (await client.schedule(wanted)).id
    columns, row = await rows_of(connection, "scheduler.schedules", "id", original)
    made = datetime.now(UTC) - timedelta(days=FIRINGS)
    ids = [id_at(made, "d", number) for number in range(count)]

    def copies() -> Iterator[bytes]:
        for number, id in enumerate(ids):
            yield row.replace(original.encode(), id.encode()).replace(b"\tbackup\t", b"\tbackup-%d\t" % number)

    def firings() -> Iterator[Sequence[object]]:
        for number, id in enumerate(ids):
            for day in range(FIRINGS):
                due = made + timedelta(days=day)
                outcome = "failed" if day % 10 == 0 else "succeeded"
                yield id_at(due, "e", number), id, "time", outcome, due, due, due, due + timedelta(minutes=1)

    await write_rows(connection, "scheduler.schedules", columns, copies())
    moments = "due_at fired_at heard_at finished_at"
    await _copy(connection, "scheduler.firings", f"id schedule_id kind outcome {moments}", firings())
    return ids[count // 2]


async def _fill_fleet(connection: asyncpg.Connection[Any], count: int) -> None:
    """Workers without an agent, half of them offline; the others stay online for a day. And processes that ended."""
    now = datetime.now(UTC)
    alive = now + timedelta(days=1)
    await _copy(
        connection,
        "scheduler.workers",
        "id type name status labels slots prefetch has_agent since registered_at last_heartbeat",
        (
            (
                *(id_at(now, "7", number), "default", f"north-{number}", "offline" if number % 2 else "online"),
                *(json.dumps({"zone": "north", "rack": str(number % 40)}), 8, 0, False, now, now, alive),
            )
            for number in range(count)
        ),
    )
    await _copy(
        connection,
        "worker_manager.workers",
        "id type name status provider labels slots instance stopped_at",
        (
            (
                id_at(now, "7", n),
                "default",
                f"ended-{n}",
                "failed" if n % 4 else "stopped",
                "process",
                "{}",
                8,
                "x",
                now,
            )
            for n in range(count)
        ),
    )


async def _fill_tokens(connection: asyncpg.Connection[Any], count: int) -> None:
    """Tokens, join tokens and credentials; all but a few are revoked."""
    now = datetime.now(UTC)
    later = now + timedelta(days=30)
    ids = [id_at(now, "9", number) for number in range(count)]
    revoked = [now if number % 20 else None for number in range(count)]
    named = [(id, f"machine-{number}") for number, id in enumerate(ids)]
    by = json.dumps({"id": ids[0], "name": "ana"})
    await _copy(
        connection,
        "orchestrator.tokens",
        "hash id name role created_by expires_at revoked_at",
        ((id.encode(), id, name, "viewer", by, later, at) for (id, name), at in zip(named, revoked, strict=True)),
    )
    await _copy(
        connection,
        "worker_manager.join_tokens",
        "id name user_key max_uses expires_at revoked_at",
        ((id, name, f"U{id}", 20, later, at) for (id, name), at in zip(named, revoked, strict=True)),
    )
    await _copy(
        connection,
        "worker_manager.credentials",
        "id name user_key subjects expires_at revoked_at",
        ((id, name, f"U{id}", '["hodei.feed.>"]', later, at) for (id, name), at in zip(named, revoked, strict=True)),
    )


async def _fill_pipelines(client: Client, connection: asyncpg.Connection[Any], count: int) -> str:
    """Pipelines of ten steps, and one with fifty versions whose step no worker can run. Returns the latter."""
    now = datetime.now(UTC)
    ids = [id_at(now - timedelta(days=1), "8", number) for number in range(count)]
    steps = json.dumps([STEP | {"name": f"step-{number}"} for number in range(10)])
    await _copy(
        connection,
        "orchestrator.pipelines",
        "id name version created_at updated_at",
        ((id, f"service-{number}", 1, now, now) for number, id in enumerate(ids)),
    )
    await _copy(
        connection,
        "orchestrator.pipeline_versions",
        "pipeline_id version name steps env created_at",
        ((id, 1, f"service-{number}", steps, "{}", now) for number, id in enumerate(ids)),
    )
    wanted = {"name": "train", "steps": [STEP | {"labels": {"stage": "test"}}]}
    pipeline = (await client.create_pipeline(wanted)).id
    for number in range(49):
        await client.update_pipeline(pipeline, wanted | {"description": f"change {number}"})
    return pipeline


_AUDIT: Final = "id outcome token_id token_name address method route entity request"


def _audit(count: int) -> Iterator[Sequence[object]]:
    """Calls over 60 days."""
    first, step = datetime.now(UTC) - timedelta(days=60), timedelta(days=60) / max(1, count)
    ids = {name: id_at(first, "9", number) for number, name in enumerate(("ci", "ana", "bob", FORMER))}
    for number in range(count):
        made, place = first + number * step, number * 617 % 1000
        _, outcome, method, route, token = next(one for one in CALLS if place < one[0])
        if number < 100:
            token = FORMER
        entity = id_at(made, "a", number)
        address = f"10.0.{number % 4}.{number % 250}"
        token_id = None if token is None else ids[token]
        yield id_at(made, "5", number), outcome, token_id, token, address, method, route, entity, entity
