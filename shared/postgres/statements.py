"""Statements made from named queries: several queries joined into one, and a query without its unused filters.

Joined queries are one round trip, all or nothing, and need no BEGIN and COMMIT. A query that can be joined with others
has this form, its last `select` at the beginning of a line:

    with one as (…), two as (…)
    select what, it, gives

It selects values without a FROM; the names of its parts and values differ from those of other queries.

A query that can be narrowed has each optional filter on its own line, with one parameter and this mark at the end:

    where archived_at is null
      and name = $2::text -- if given
"""

import re
from collections.abc import Sequence
from functools import cache, partial
from typing import Final, NamedTuple

_PARAMETER: Final = re.compile(r"\$(\d+)")
IF_GIVEN: Final = "-- if given"
_FORM: Final = re.compile(r"\Awith (?P<parts>.*)\nselect (?P<values>.*)\Z", re.DOTALL)


class Call(NamedTuple):
    """A query and its arguments."""

    query: str
    arguments: tuple[object, ...]


def joined(calls: Sequence[Call]) -> Call:
    """All queries as one. Raises ValueError for a query that does not have the form above."""
    if len(calls) == 1:
        return calls[0]
    query = _joined(tuple((call.query, len(call.arguments)) for call in calls))
    return Call(query, tuple(argument for call in calls for argument in call.arguments))


def narrowed(query: str, *arguments: object) -> Call:
    """The query without the filters whose argument is None.

    Without the unused filters, PostgreSQL can choose the right index for those that are given.
    """
    text, places = _narrowed(query, tuple(argument is None for argument in arguments))
    return Call(text, tuple(arguments[place] for place in places))


@cache
def _narrowed(query: str, missing: tuple[bool, ...]) -> tuple[str, tuple[int, ...]]:
    """The text, and the positions of the remaining arguments."""

    def stays(line: str) -> bool:
        return not (line.endswith(IF_GIVEN) and missing[int(_PARAMETER.findall(line)[0]) - 1])

    text = "\n".join(line.removesuffix(IF_GIVEN).rstrip() for line in query.splitlines() if stays(line))
    numbers = sorted({int(number) for number in _PARAMETER.findall(text)})
    order = {number: place for place, number in enumerate(numbers, 1)}
    return _PARAMETER.sub(lambda found: f"${order[int(found[1])]}", text), tuple(number - 1 for number in numbers)


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
