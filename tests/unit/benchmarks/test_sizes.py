"""What the benchmarks of sizes make of what they measured: their tables, and the copies that fill a platform."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from rich.console import Console
from rich.table import Table

from benchmarks import filling, footprint, soak

MADE = datetime(2026, 11, 29, 4, 31, 18, tzinfo=UTC)


def _lines(table: Table) -> list[list[str]]:
    console = Console(width=100)
    with console.capture() as printed:
        console.print(table)
    return [line.split() for line in printed.get().splitlines()]


def test_the_footprint_of_a_job_is_the_sum_of_its_tables_and_indexes() -> None:
    grown = {
        ("orchestrator.jobs", ""): 12_000,
        ("orchestrator.jobs", "jobs_pkey"): 4_000,
        ("scheduler.tasks", ""): 3_000,
        ("scheduler.workers", ""): 10,
    }
    lines = _lines(footprint.shown(grown, 100))
    assert ["orchestrator.jobs", "160"] in lines
    assert ["jobs_pkey", "40"] in lines
    assert ["all", "190"] in lines
    assert ["after", "a", "day", "160"] in lines
    assert not [line for line in lines if line and line[0] == "scheduler.workers"], "nothing that grew by no byte a job"


def test_a_soak_compares_the_second_quarter_with_the_last() -> None:
    samples = [{"tables": float(n)} for n in (1, 1, 2, 4, 6, 6, 6, 10)]
    assert ["tables", "3.0", "8.0", "2.67"] in _lines(soak.shown(samples))


def test_copies_differ_in_ids_and_times_and_in_nothing_else() -> None:
    job, task, execution = (f"01a22592-5daa-71c2-9b8b-00000000000{n}" for n in range(3))
    text = f"{job}\t{task}\t{execution}\ttrue\t2026-11-29 04:31:18.954469+00\n".encode()
    one = filling.Original(job, task, execution, {}, {"t": text})
    copies = list(filling._lines(one, "t", range(3), MADE, timedelta(seconds=60)))
    rows = [copy.decode().rstrip("\n").split("\t") for copy in copies]
    assert [row[3:] for row in rows] == [["true", f"2026-11-29 04:{31 + n}:18.954469+00"] for n in range(3)]
    ids = [id for row in rows for id in row[:3]]
    assert len(set(ids)) == 9
    assert {UUID(id).version for id in ids} == {7}
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
