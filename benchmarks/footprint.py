"""Measures how many bytes a finished one-step job takes in PostgreSQL: `python -m benchmarks.footprint`.

A platform runs jobs of /bin/true in rounds. After each round comes what housekeeping does to rows of its age, and a
vacuum. The table has what every table and every index grew by in the last rounds, for each job: space that was freed
and is used again does not count, pages that stay half empty do. The outboxes are left out: they are queues, whose size
depends on the most rows that waited at a time.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import NotStarted, running_platform
from hodei.client import Client
from hodei.up import Platform
from schemas.rest.jobs import JobCreate
from shared.postgres import Database

TRUE: Final = JobCreate(command=["/bin/true"], type="exec", name="true")
SCHEMAS: Final = ("orchestrator", "scheduler", "worker_manager")
LIMIT: Final = 3000
"""Bytes that a finished one-step job may take, without the key of the request that made it."""
KEYS: Final = "orchestrator.idempotency_keys"
"""The client sends a key with each submission, which many others do not."""
FOR_A_DAY: Final = ("scheduler.tasks", KEYS)
"""Tables whose rows are deleted a day after the job's end, whatever the retention of jobs is."""

SIZES: Final = """
select
    n.nspname || '.' || coalesce(t.relname, o.relname, c.relname) as owner,
    case when c.relkind = 'i' then c.relname when c.relkind = 't' then 'toast' else '' end as part,
    sum(pg_relation_size(c.oid))::bigint as bytes
from pg_class c
left join pg_index i on i.indexrelid = c.oid
left join pg_class t on t.oid = i.indrelid and t.relkind = 'r'
left join pg_class o on o.reltoastrelid = coalesce(i.indrelid, c.oid)
join pg_namespace n on n.oid = coalesce(t.relnamespace, o.relnamespace, c.relnamespace)
where c.relkind in ('r', 'i', 't') and n.nspname = any($1::text[])
group by 1, 2
"""
TABLES: Final = (
    "select schemaname || '.' || relname as name from pg_stat_user_tables where schemaname = any($1::text[])"
)
RECORDED: Final = "select count(*) from worker_manager.executions where rank < 2"

Sizes = dict[tuple[str, str], int]
"""Bytes of each table and index, by the names of the table and of the index; the table itself has ''."""


async def sizes(database: Database) -> Sizes:
    """The bytes of all tables and indexes of the three services."""
    rows = await database.fetch(SIZES, list(SCHEMAS))
    return {(row["owner"], row["part"]): row["bytes"] for row in rows if not row["owner"].endswith(".outbox")}


async def run_jobs(client: Client, count: int, at_once: int) -> None:
    """Submit jobs one by one and wait for the end of each, `at_once` of them at a time."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            job = await client.submit(TRUE)
            await client.wait(job.id, timeout=120)

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


async def settle(database: Database) -> None:
    """Wait until the worker manager has recorded all ends, do what housekeeping does, and vacuum."""
    async with asyncio.timeout(30):
        while await database.fetch_value(RECORDED):  # noqa: ASYNC110  # nothing tells when a batch was recorded
            await asyncio.sleep(0.1)
    for row in await database.fetch(TABLES, list(SCHEMAS)):
        await database.execute(f"vacuum analyze {row['name']}")


async def measure(platform: Platform, *, jobs: int, rounds: int, at_once: int) -> tuple[Sizes, int]:
    """What all tables and indexes grew by after the first round, and during how many jobs."""
    urls = platform.urls
    database = Database(platform.database_url, schema="orchestrator", name="benchmark")
    await database.start()
    try:
        async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
            await run_jobs(client, jobs, at_once)
            await settle(database)
            before = await sizes(database)
            for _ in range(rounds):
                await run_jobs(client, jobs, at_once)
                await settle(database)
            after = await sizes(database)
    finally:
        await database.stop()
    return {one: after[one] - before.get(one, 0) for one in after}, jobs * rounds


def shown(grown: Sizes, jobs: int) -> Table:
    """The figures as a table: each table with its indexes below it, and the sum."""
    table = Table(title=f"Bytes of a finished job ({jobs:,} jobs)", title_justify="left", box=None)
    table.add_column("table and index")
    table.add_column("bytes", justify="right")
    of_table: dict[str, int] = {}
    for (owner, _), size in grown.items():
        of_table[owner] = of_table.get(owner, 0) + size
    for owner, total in sorted(of_table.items(), key=lambda one: -one[1]):
        if total < jobs:
            continue
        table.add_row(f"[bold]{owner}", f"[bold]{total / jobs:,.0f}")
        parts = sorted((part, size) for (of, part), size in grown.items() if of == owner and size)
        for part, size in parts:
            table.add_row(f"    {part or 'rows'}", f"{size / jobs:,.0f}")
    whole = sum(grown.values())
    table.add_row("[bold]all", f"[bold]{whole / jobs:,.0f}")
    table.add_row("without the idempotency key", f"{without_key(grown) / jobs:,.0f}")
    table.add_row("after a day", f"{(whole - sum(of_table.get(owner, 0) for owner in FOR_A_DAY)) / jobs:,.0f}")
    return table


def without_key(grown: Sizes) -> int:
    """The bytes of all tables and indexes but that of idempotency keys."""
    return sum(size for (owner, _), size in grown.items() if owner != KEYS)


async def run(*, jobs: int, rounds: int, at_once: int) -> int:
    try:
        async with running_platform() as started:
            grown, count = await measure(started.platform, jobs=jobs, rounds=rounds, at_once=at_once)
    except NotStarted as error:
        return error.exit_code
    Console(width=140).print(shown(grown, count))
    return 0 if without_key(grown) <= LIMIT * count else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-footprint", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="of a round")
    parser.add_argument("--rounds", type=int, default=8, help="after the first one, which is not counted")
    parser.add_argument("--at-once", type=int, default=8, help="jobs under way; alone, each of its events is a row")
    options = parser.parse_args(arguments)
    return uvloop.run(run(jobs=options.jobs, rounds=options.rounds, at_once=options.at_once))


if __name__ == "__main__":
    raise SystemExit(main())
