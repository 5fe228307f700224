"""Named queries: SQL is in `<package>/sql/*.sql`, each query with a name and a one-line purpose, never in Python.

A file is a sequence of blocks, each opened by two comment lines:

    -- name: insert_jobs
    -- Write a batch of jobs; a job that exists already stays as it is.
    insert into jobs …

`shared.postgres.named` gives a query its arguments by their names.

`shared.postgres.database` runs them. Numbered migrations are in `shared.postgres.migrations`.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

_HEADER: Final = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)
_COMMENT: Final = re.compile(r"\A(?:\s*--.*\n)*")
"""Further comment lines before the statement."""


class MalformedQueries(Exception):
    """A .sql file breaks the form above. A fault of the code, found when the service is wired."""


class UnknownQuery(KeyError):
    """No query has this name. A fault of the code; the message names the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would print its repr


class Queries(Mapping[str, str]):
    """The queries of one package by name. Look them up while wiring, so that a wrong name stops the start."""

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self.package = package
        self._texts = dict(texts)

    def __getitem__(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            nearest = get_close_matches(name, self._texts, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise UnknownQuery(f"{self.package}/sql has no query named {name!r}{hint}")
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def parse(text: str, *, origin: str) -> dict[str, str]:
    """Split one file into its queries. Raises MalformedQueries, with `origin` and the error."""
    found: dict[str, str] = {}
    first, *blocks = _HEADER.split(text)
    if any(line.strip() and not line.startswith("--") for line in first.splitlines()):
        raise MalformedQueries(f"{origin}: SQL stands before the first '-- name:' line")
    for name, block in zip(blocks[::2], blocks[1::2], strict=True):
        purpose, _, body = block.strip().partition("\n")
        if not purpose.startswith("-- "):
            raise MalformedQueries(f"{origin}: {name} lacks the comment line that says what it is for")
        statement = _COMMENT.sub("", body).strip().removesuffix(";")
        if not statement:
            raise MalformedQueries(f"{origin}: {name} is empty")
        if name in found:
            raise MalformedQueries(f"{origin}: the query {name} is defined twice")
        found[name] = statement
    return found


@cache
def load_queries(package: str) -> Queries:
    """Read every `<package>/sql/*.sql`. Raises MalformedQueries, also for a name used in two files."""
    texts: dict[str, str] = {}
    for file in sorted(files(package).joinpath("sql").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        queries = parse(file.read_text("utf-8"), origin=f"{package}/sql/{file.name}")
        for name in queries.keys() & texts.keys():
            raise MalformedQueries(f"{package}/sql/{file.name}: the query {name} is defined in another file as well")
        texts.update(queries)
    return Queries(package, texts)
