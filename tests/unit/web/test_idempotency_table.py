"""The table of idempotency keys is touched by one module."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter", "hodei", "schemas")


def test_only_the_statements_of_the_module_name_the_table() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.sql")
        if "idempotency_keys" in path.read_text()
    }
    assert found == {
        "shared/sql/migrations/0002_idempotency_keys.sql",
        "shared/sql/migrations/0004_space_given_back.sql",
        "shared/web/sql/idempotency.sql",
    }


def test_only_the_module_runs_those_statements() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if 'load_queries("shared.web")' in path.read_text()
    }
    assert users == {"shared/web/idempotency.py"}
