"""A start that cannot succeed: one clear line on stderr, a non-zero exit within the deadline, and never a stack trace.

The restart policy of whatever started the process does the rest.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVICES = ("orchestrator", "scheduler", "worker_manager")
PROCESSES = (*SERVICES, "worker_manager.agent")
NOWHERE = "127.0.0.1:1"
DEADLINE = 1.0

FAILED, MISCONFIGURED = 1, 2


async def start(module: str, folder: Path, **variables: str) -> tuple[int | None, str]:
    """The exit code and stderr of a process that is expected to give up."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HODEI_", "NATS_", "DATABASE_", "PG")) and not name.endswith("_PORT")
    }
    own = {"ORCHESTRATOR_PORT": "0", "SCHEDULER_PORT": "0", "WORKER_MANAGER_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        env={
            **environment, **own, "HODEI_DATA_DIR": str(folder), "HODEI_STATE_DIR": str(folder / "state"),
            "HODEI_START_DEADLINE": str(DEADLINE), "HODEI_LOG_FORMAT": "json", **variables,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Traceback" not in out.decode() + err.decode()
    return process.returncode, err.decode()


def says(err: str, module: str, *parts: str) -> None:
    """Exactly one line for people, which begins with who says it; beside it the log tells only of waiting."""
    lines = err.splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    (line,) = (line for line in lines if not line.startswith("{"))
    assert {entry["level"] for entry in logged} <= {"info"}
    assert line.startswith(f"{module.rpartition('.')[2]}: ")
    for part in parts:
        assert part in line


@pytest.mark.parametrize("module", PROCESSES)
async def test_every_wrong_variable_is_named_in_the_one_line(module: str, tmp_path: Path) -> None:
    wrong = {
        "NATS_URL": "http://hodei:hidden@nats:4222",
        "HODEI_START_DEADLINE": "soon",
        "HODEI_LOG_LEVEL": "loud",
        "HODEI_STREAM_REPLICAS": "0",
        "HODEI_NAMESPCE": "hodei",
    }

    code, err = await start(module, tmp_path, **wrong)

    assert code == MISCONFIGURED
    says(err, module, *wrong, "did you mean HODEI_NAMESPACE?")
    assert "hidden" not in err


@pytest.mark.parametrize("module", SERVICES)
async def test_a_service_that_others_can_reach_asks_whether_it_should_ask_for_tokens(
    module: str, tmp_path: Path
) -> None:
    code, err = await start(module, tmp_path, HODEI_HOST="0.0.0.0")

    assert code == MISCONFIGURED
    says(err, module, "HODEI_AUTH: should be on, so that requests need a token, or off", "HODEI_HOST=0.0.0.0")


@pytest.mark.parametrize("module", SERVICES)
async def test_a_container_that_is_published_to_others_asks_the_same(module: str, tmp_path: Path) -> None:
    published = {"HODEI_HOST": "0.0.0.0", "HODEI_PUBLISHED_HOST": "0.0.0.0", "HODEI_AUTH": ""}

    code, err = await start(module, tmp_path, **published)

    assert code == MISCONFIGURED
    says(err, module, "HODEI_AUTH: should be on", "HODEI_PUBLISHED_HOST=0.0.0.0 (HODEI_BIND of Compose)")


@pytest.mark.parametrize("module", SERVICES)
@pytest.mark.parametrize(
    "address", ["mysql://nowhere", "postgresql://hodei:hidden@127.0.0.1:port/hodei"], ids=["scheme", "port"]
)
async def test_a_wrong_database_address_is_named_and_not_repeated(module: str, address: str, tmp_path: Path) -> None:
    code, err = await start(module, tmp_path, DATABASE_URL=address)

    assert code == MISCONFIGURED
    says(err, module, "DATABASE_URL")
    assert "hidden" not in err


@pytest.mark.parametrize("module", SERVICES)
async def test_a_database_that_does_not_answer_is_waited_for_and_named(module: str, tmp_path: Path) -> None:
    begun = time.monotonic()

    code, err = await start(module, tmp_path, DATABASE_URL=f"postgresql://hodei:hidden@{NOWHERE}/hodei")

    assert code == FAILED
    assert time.monotonic() - begun >= DEADLINE / 2
    says(err, module, "database", NOWHERE, "not available")
    assert "hidden" not in err


@pytest.mark.parametrize("module", SERVICES)
async def test_a_database_that_does_not_exist_is_named(module: str, database_url: str, tmp_path: Path) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]

    code, err = await start(module, tmp_path, DATABASE_URL=database_url.replace(name, "no_such_database"))

    assert code == MISCONFIGURED
    says(err, module, "DATABASE_URL", "no_such_database")


@pytest.mark.parametrize("module", PROCESSES)
async def test_a_bus_that_does_not_answer_is_waited_for_and_named(
    module: str, migrated_database_url: str, tmp_path: Path
) -> None:
    begun = time.monotonic()

    code, err = await start(
        module, tmp_path, DATABASE_URL=migrated_database_url, NATS_URL=f"nats://hodei:hidden@{NOWHERE}"
    )

    assert code == FAILED
    assert time.monotonic() - begun >= DEADLINE
    says(err, module, "NATS", NOWHERE, f"for {DEADLINE:g} s", "not available")
    assert "hidden" not in err
    told = [json.loads(line) for line in err.splitlines() if '"bus.waiting"' in line]
    assert [(one["url"], "refused" in one["error"]) for one in told] == [(NOWHERE, True)]  # once in ten seconds


@pytest.mark.parametrize(
    ("module", "name", "right"),
    [
        ("orchestrator", "HODEI_RETENTION_JOBS", "'forever', or a duration such as 90d, 12h or 30m of at least 1m"),
        ("orchestrator", "HODEI_RETENTION_JOBS_MAX", "'unlimited', or a whole number from 1"),
        ("scheduler", "HODEI_RETENTION_IDEMPOTENCY_KEYS", "of at least 1d"),
        ("worker_manager", "HODEI_RETENTION_EXECUTIONS", "of at least 1h"),
        ("scheduler", "HODEI_RETENTION_SCHEDULES", "of at least 1h"),
    ],
)
async def test_a_retention_of_0_is_refused(module: str, name: str, right: str, tmp_path: Path) -> None:
    code, err = await start(module, tmp_path, **{name: "0"})

    assert code == MISCONFIGURED
    says(err, module, f"{name}='0': should be", right)


@pytest.mark.parametrize("module", ["worker_manager", "worker_manager.agent"])
async def test_a_capacity_that_cannot_be_is_named(module: str, tmp_path: Path) -> None:
    code, err = await start(module, tmp_path, HODEI_WORKER_CAPACITY="gpus=1")

    assert code == MISCONFIGURED
    says(err, module, "HODEI_WORKER_CAPACITY='gpus=1': 'gpus' is not one of cpu_m, memory_mb, gpu")


async def test_a_worker_whose_folder_cannot_be_used_says_so(nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")

    code, err = await start("worker_manager.agent", tmp_path, NATS_URL=nats_url)

    assert code == MISCONFIGURED
    says(err, "agent", "state folder")


async def test_a_worker_manager_whose_folder_cannot_be_used_says_so(
    migrated_database_url: str, nats_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    code, err = await start(
        "worker_manager", tmp_path,
        DATABASE_URL=migrated_database_url, NATS_URL=nats_url, HODEI_DATA_DIR=str(tmp_path / "file"),
    )  # fmt: skip

    assert code == MISCONFIGURED
    says(err, "worker_manager", "HODEI_DATA_DIR")
