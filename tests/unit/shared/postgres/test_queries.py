"""Named queries: the form of the files, and that every name used in the code exists."""

import ast
from pathlib import Path

import pytest

from shared.postgres import queries
from shared.postgres.queries import MalformedQueries, Queries, UnknownQuery, parse

ROOT = Path(__file__).parents[4]
PACKAGES = ("shared", "orchestrator", "scheduler", "worker_manager")


def test_a_file_is_split_into_its_queries() -> None:
    text = "-- A file about one.\n\n-- name: one\n-- Gives one.\nselect 1;\n\n-- name: two\n-- Two.\nselect\n  2\n"
    assert parse(text, origin="x.sql") == {"one": "select 1", "two": "select\n  2"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("select 1", "before the first"),
        ("-- name: one\nselect 1", "lacks the comment"),
        ("-- name: one\n-- Purpose.\n", "is empty"),
        ("-- name: one\n-- P.\nselect 1\n-- name: one\n-- P.\nselect 2", "twice"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name(text: str, fault: str) -> None:
    with pytest.raises(MalformedQueries, match=rf"x\.sql.*{fault}"):
        parse(text, origin="x.sql")


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownQuery, match="did you mean 'insert_jobs'"):
        Queries("trial", {"insert_jobs": "select 1"})["insert_job"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_query_that_the_code_names_exists(package: str) -> None:
    missing = {
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.slice.value}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and ast.unparse(node.value).rpartition(".")[2] in ("sql", "_sql", "SQL")
        and node.slice.value not in queries.load_queries(_package_with_queries(path))
    }
    assert not missing


def _package_with_queries(module: Path) -> str:
    """The nearest package around a module that has an `sql` folder."""
    folder = next(folder for folder in module.parents if (folder / "sql").is_dir())
    return ".".join(folder.relative_to(ROOT).parts)
