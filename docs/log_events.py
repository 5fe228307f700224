"""Every event that the code logs, found by reading the code: for the page docs/log-events.md and for its test.

An event is a call such as `log.info("worker.gone", worker_id=…)`; the first argument is a literal,
so that a search for the event of a log line finds its place in the code.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter")
LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
LOGGERS: Final = frozenset({"log", "_log"})
CHOSEN: Final = frozenset({"log", "level"})
"""Names that a chosen level's method goes by."""


@dataclass
class LogEvent:
    """One event: the packages that log it, its levels ("" where the call chooses one), and its fields."""

    name: str
    packages: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def found() -> dict[str, LogEvent]:
    """All events by name. Raises ValueError for a call whose event is not written out."""
    events: dict[str, LogEvent] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for call, level in _calls(ast.parse(path.read_text())):
                place = path.relative_to(ROOT)
                for name in names(call, f"{place}:{call.lineno}"):
                    event = events.setdefault(name, LogEvent(name))
                    event.packages.add("agent" if "agent" in place.parts else package)
                    event.levels.add(level)
                    event.fields |= {keyword.arg for keyword in call.keywords if keyword.arg}
    for event in events.values():
        if "exc_info" in event.fields or "exception" in event.levels:
            event.fields = (event.fields - {"exc_info"}) | {"exception"}
    return events


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in CHOSEN:
            yield node, ""
        elif isinstance(function, ast.Attribute) and function.attr in LEVELS:
            logger = function.value
            name = (
                logger.id if isinstance(logger, ast.Name) else logger.attr if isinstance(logger, ast.Attribute) else ""
            )
            if name in LOGGERS:
                yield node, function.attr


def names(call: ast.Call, place: str) -> list[str]:
    """The event that a call logs, or the two that it chooses from. Raises ValueError."""
    first = call.args[0] if call.args else None
    choices = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    names = [one.value for one in choices if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if len(names) != len(choices):
        raise ValueError(f"{place}: the event is not written out")
    return names
