"""The names in the logs keep to their rules, and docs/logging.md knows all of them and no others."""

import ast
import re

import pytest

from docs import generate, log_events

EVENTS = log_events.found()
TABLES = re.findall(r"^\| `(\w+)` \|", (generate.HERE / "logging.md").read_text(), re.MULTILINE)
GIVEN = {"event", "level", "timestamp", "service", "request_id", "trace_id", "logger", "message", "lines_lost"}
"""Fields that no call names: they are added to lines."""
CANONICAL = {"http_request", "event_batch"}


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_says_what_happened_to_which_thing(name: str) -> None:
    assert name in CANONICAL or re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", name)


def test_every_field_is_documented_and_nothing_else_is() -> None:
    used = {field for event in EVENTS.values() for field in event.fields} | GIVEN
    assert sorted(TABLES) == sorted(used)


def test_an_event_that_is_not_written_out_is_refused() -> None:
    [call] = [node for node in ast.walk(ast.parse("log.info(name)")) if isinstance(node, ast.Call)]
    with pytest.raises(ValueError, match="here:1: the event is not written out"):
        log_events.names(call, "here:1")
