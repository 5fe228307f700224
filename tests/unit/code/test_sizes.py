"""A module has one subject: none of the platform's modules has more than 400 lines."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = ("schemas", "shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter", "hodei")
MOST = 400


def _lines() -> dict[str, int]:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources}


def test_no_module_is_too_large() -> None:
    lines = _lines()
    assert len(lines) > 100
    assert {name: count for name, count in lines.items() if count > MOST} == {}
