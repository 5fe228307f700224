"""Fills a platform's tables with finished jobs by COPY: as many copies as wanted of a job that the platform has run.

Only ids and times differ from the job that was run, so that the rows are as the services write them, whatever columns
they have. The packed entries of a copy's timeline name the other ids of the original.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from hodei.client import Client
from schemas.rest.jobs import JobCreate

CHUNK: Final = 10_000
TABLES: Final = (
    "orchestrator.jobs",
    "orchestrator.tasks",
    "orchestrator.executions",
    "orchestrator.timeline",
    "worker_manager.executions",
)
"""Which keep a finished job for months. The scheduler keeps its tasks for a day."""

_COLUMNS: Final = """
select string_agg(quote_ident(column_name), ', ' order by ordinal_position)
from information_schema.columns
where table_schema || '.' || table_name = $1 and is_identity = 'NO' and is_generated = 'NEVER'
"""
_SECOND: Final = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@dataclass(frozen=True)
class Original:
    """A finished job of one step: its ids, and its lines in each table, as COPY writes them."""

    job_id: str
    task_id: str
    execution_id: str
    columns: dict[str, str]
    lines: dict[str, bytes]


TRUE: Final = JobCreate(command=["/bin/true"], type="exec", name="true")


async def original(client: Client, connection: asyncpg.Connection[Any], wanted: JobCreate = TRUE) -> Original:
    """Run a job of one step, and read its rows once all services have recorded its end."""
    job = await client.submit(wanted)
    await client.wait(job.id, timeout=30)
    detail = await client.job(job.id)
    [task] = detail.tasks
    [execution] = task.executions
    columns, lines = {}, {}
    recorded = "select rank = 2 from worker_manager.executions where id = $1"
    async with asyncio.timeout(30):
        while not await connection.fetchval(recorded, execution.id):
            pass  # each round waits for the server
    for table in TABLES:
        key = "id" if table == "orchestrator.jobs" else "job_id"
        columns[table], lines[table] = await rows_of(connection, table, key, job.id)
    return Original(job.id, task.id, execution.id, columns, lines)


async def rows_of(connection: asyncpg.Connection[Any], table: str, key: str, id: str) -> tuple[str, bytes]:
    """The columns of a table that an insert may name, and the rows with this key, as COPY writes them."""
    columns = await connection.fetchval(_COLUMNS, table)
    written: list[bytes] = []

    async def keep(data: bytes) -> None:
        written.append(data)

    await connection.copy_from_query(f"select {columns} from {table} where {key} = '{id}'", output=keep)
    return columns, b"".join(written)


async def write_rows(connection: asyncpg.Connection[Any], table: str, columns: str, rows: Iterator[bytes]) -> None:
    """Insert rows as COPY writes them."""
    schema, name = table.split(".")
    await connection.copy_to_table(
        name,
        schema_name=schema,
        columns=[column.strip('"') for column in columns.split(", ")],
        source=_pieces(rows),
    )


async def fill(
    connection: asyncpg.Connection[Any], one: Original, count: int, *, oldest: timedelta, newest: timedelta
) -> None:
    """Insert copies of a job, which were made at even distances between two ages. Then vacuum, as autovacuum would, and
    write everything to disk, so that what follows is measured without that."""
    first = datetime.now(UTC) - oldest
    step = (oldest - newest) / count
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        for table in TABLES:
            await write_rows(connection, table, one.columns[table], _lines(one, table, numbers, first, step))
    for table in TABLES:
        await connection.execute(f"vacuum analyze {table}")
    await connection.execute("checkpoint")


def _lines(one: Original, table: str, numbers: range, first: datetime, step: timedelta) -> Iterator[bytes]:
    text = one.lines[table]
    seconds = set(_SECOND.findall(text))
    for number in numbers:
        made = first + number * step
        line = text
        for kind, id in (("a", one.job_id), ("b", one.task_id), ("c", one.execution_id)):
            line = line.replace(id.encode(), id_at(made, kind, number).encode())
        second = made.strftime("%Y-%m-%d %H:%M:%S").encode()
        for earlier in seconds:
            line = line.replace(earlier, second)
        yield line


def id_at(made: datetime, kind: str, number: int) -> str:
    """A UUIDv7 of that time; `kind` is a hexadecimal digit that keeps the ids of different things apart."""
    milliseconds = f"{int(made.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{kind}00-8000-{number:012x}"


async def _pieces(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    piece: list[bytes] = []
    for line in lines:
        piece.append(line)
        if len(piece) == 200:
            yield b"".join(piece)
            piece = []
    yield b"".join(piece)
