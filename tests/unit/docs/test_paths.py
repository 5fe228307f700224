"""The documents name only files, folders and parts of modules that exist, and the map of modules names every module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""Not CHANGELOG.md: what it says of an earlier version may be gone."""
FOLDERS = (
    "benchmarks", "compose", "docs", "examples", "hodei", "nats_exporter", "orchestrator", "scheduler", "schemas",
    "shared", "tests", "worker_manager",
)  # fmt: skip
PATH = re.compile(rf"(?<![\w./:$<-])(?:{'|'.join(FOLDERS)}|<service>)/(?!_[a-z])[\w./<>*-]*+(?!:\d)|(?<=`)\w+\.py(?=`)")
"""A path from the top of the repository, in which `<service>` and `*` stand for a part; or the name of a module in
backticks. Not the name of an image (`hodei/worker:0.1.0`), nor a folder that only a wheel has (`hodei/_services`)."""
NAME = r"`([A-Za-z_]\w*(?:\.\w+)?)`"
MODULE = r"`((?:\w+/)+\w+\.(?:py|sql))`"
PARTS = re.compile(rf"{NAME}\s+in\s+{MODULE}")
PARTS_IN_BRACKETS = re.compile(rf"{MODULE}\s+\(({NAME}(?:,\s+{NAME})*)\)")
SERVICES = ("orchestrator", "scheduler", "worker_manager")


def _named(text: str) -> list[str]:
    return [path.rstrip(".") for path in PATH.findall(text)]


def _exists(path: str, names: set[str]) -> bool:
    if "/" not in path:
        return path in names
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/")))


def _modules() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    names = {module.name for module in [*ROOT.glob("*.py"), *_modules()]}

    assert [path for path in _named(page.read_text()) if not _exists(path, names)] == []


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The parts of modules that a text names, as (module, name): `name` in `module.py`, or `module.py` (`name`)."""
    for name, module in PARTS.findall(text):
        yield module, name
    for module, names, *_ in PARTS_IN_BRACKETS.findall(text):
        yield from ((module, name) for name in re.findall(NAME, names))


def _has(module: str, name: str) -> bool:
    source = (ROOT / module).read_text()
    return all(
        re.search(rf"\b(?:def|class) {part}\b|\b{part}\b *[:=]|-- name: {part}\b", source) for part in name.split(".")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_part_of_a_module_that_a_page_names_exists(page: Path) -> None:
    assert [(module, name) for module, name in _parts(page.read_text()) if not _has(module, name)] == []


def test_parts_of_modules_are_found() -> None:
    text = "`Runs` in `orchestrator/consumers.py`, then `shared/no.py` (`_one`, `Two.three`)"

    assert list(_parts(text)) == [
        ("orchestrator/consumers.py", "Runs"),
        ("shared/no.py", "_one"),
        ("shared/no.py", "Two.three"),
    ]
    assert _has("orchestrator/consumers.py", "Runs")
    assert not _has("orchestrator/consumers.py", "Walks")


def test_paths_are_found() -> None:
    text = "In `shared/no/where.py`, `gone.py` or docs/operations.md (tests/integration/<service>/test_plans.py)."

    assert _named(text) == [
        "shared/no/where.py", "gone.py", "docs/operations.md", "tests/integration/<service>/test_plans.py"
    ]  # fmt: skip
    assert not _exists("shared/no/where.py", set())
    assert _exists("tests/integration/<service>/test_plans.py", set())


@pytest.mark.parametrize("service", SERVICES)
def test_the_map_of_modules_names_every_module_of_a_service(service: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / service).rglob("*.py") if not path.stem.startswith("__")}

    assert modules - set(re.findall(r"^\| `([\w/]+\.py)` \|", page, re.MULTILINE)) == set()
