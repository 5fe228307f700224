"""Several named queries as one statement: one round trip, all or nothing, and no BEGIN and COMMIT around it.

A query that can be joined with others has this form, its last `select` at the beginning of a line:

    with one as (…), two as (…)
    select what, it, gives

The selected are values without a FROM; the names of the parts and of the values are unlike those of other queries.
"""

import re
from collections.abc import Sequence
from functools import cache, partial
from typing import Final, NamedTuple, TypeVar

_PARAMETER: Final = re.compile(r"\$(\d+)")
_FORM: Final = re.compile(r"\Awith (?P<parts>.*)\nselect (?P<values>.*)\Z", re.DOTALL)


_V = TypeVar("_V")


def sparse(column: list[_V | None]) -> list[_V | None]:
    """An optional column for `unnest`, empty if nothing is in it: `unnest` fills short arrays up, and encoding nulls is
    not free."""
    return column if any(value is not None for value in column) else []


class Call(NamedTuple):
    """A query and its arguments."""

    query: str
    arguments: tuple[object, ...]


def joined(calls: Sequence[Call]) -> Call:
    """All of them as one. Raises ValueError for a query that is not of the form above."""
    if len(calls) == 1:
        return calls[0]
    query = _joined(tuple((call.query, len(call.arguments)) for call in calls))
    return Call(query, tuple(argument for call in calls for argument in call.arguments))


@cache
def _joined(queries: tuple[tuple[str, int], ...]) -> str:
    parts, values, before = [], [], 0
    for query, parameters in queries:
        form = _FORM.match(_PARAMETER.sub(partial(_later, before), query))
        if form is None:
            raise ValueError(f"neither 'with …' nor, on a line of its own, 'select …': {query}")
        parts.append(form["parts"])
        values.append(form["values"])
        before += parameters
    return f"with {', '.join(parts)}\nselect {', '.join(values)}"


def _later(by: int, parameter: re.Match[str]) -> str:
    return f"${int(parameter[1]) + by}"
