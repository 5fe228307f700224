"""Log lines: one JSON object each, with the context, without passwords."""

import io
import json
import logging as standard_logging
from collections.abc import Iterator

import pytest
import structlog

from shared.telemetry import continued, logging


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = standard_logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logging.configure_logging(service="trial", format="json", level="info", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_carries_service_and_context(lines: io.StringIO) -> None:
    with logging.bound(request_id="r1"):
        structlog.get_logger().info("job.created", job_id="j1")
    said = json.loads(lines.getvalue())
    assert {key: said[key] for key in ("service", "request_id", "event", "job_id", "level")} == {
        "service": "trial",
        "request_id": "r1",
        "event": "job.created",
        "job_id": "j1",
        "level": "info",
    }


def test_lines_below_the_level_are_left_out(lines: io.StringIO) -> None:
    structlog.get_logger().debug("quiet")
    assert lines.getvalue() == ""


@pytest.mark.parametrize("url", ["postgresql://hodei:s3cret@db:5432/x", "lost nats://u:s3cret@n:4222 and more"])
def test_passwords_in_addresses_are_blotted_out(lines: io.StringIO, url: str) -> None:
    structlog.get_logger().info("connecting", url=url)
    assert "s3cret" not in lines.getvalue()
    assert ":***@" in lines.getvalue()


def test_an_error_keeps_its_traceback_but_no_password(lines: io.StringIO) -> None:
    try:
        raise LookupError("postgresql://hodei:s3cret@db/x")
    except LookupError:
        structlog.get_logger().exception("failed")
    said = json.loads(lines.getvalue())
    assert "LookupError" in said["exception"]
    assert "s3cret" not in lines.getvalue()


def test_the_standard_librarys_lines_take_the_same_way(lines: io.StringIO) -> None:
    standard_logging.getLogger("aiohttp.server").warning("odd %s", "request")
    said = json.loads(lines.getvalue())
    assert (said["event"], said["logger"], said["message"]) == ("library.message", "aiohttp.server", "odd request")
    assert said["level"] == "warning"


@pytest.mark.parametrize(
    "text",
    [
        "1 validation error for X\nenv\n  Input should be a dict [input_value='s3cret', input_type=str]",
        "null value in column\nDETAIL:  Failing row contains (1, s3cret).",
        "nats://s3cret@host:4222 is away",
        "postgresql://user:p@s3cret@host/x",
        "nats://a:s3cret@h1,nats://b:s3cret@h2",
    ],
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_what_errors_repeat_of_secrets_is_blotted_out(lines: io.StringIO, text: str, format: logging.Format) -> None:
    logging.configure_logging(service="trial", format=format, stream=lines)
    try:
        raise ValueError(text)
    except ValueError as error:
        structlog.get_logger().exception("trial.failed", error=str(error))
    assert "trial.failed" in lines.getvalue()
    assert "s3cret" not in lines.getvalue()
    assert "***" in lines.getvalue()


def test_fields_with_a_secrets_name_are_not_shown(lines: io.StringIO) -> None:
    structlog.get_logger().info("trial.done", env={"KEY": "s3cret"}, idempotency_key="s3cret", token="s3cret")
    assert "s3cret" not in lines.getvalue()


def test_a_line_names_the_trace_it_belongs_to(lines: io.StringIO) -> None:
    with continued(f"00-{'a' * 32}-{'b' * 16}-00"):
        structlog.get_logger().info("trial.inside")
        structlog.get_logger().info("trial.other", trace_id="own")
    structlog.get_logger().info("trial.outside")
    said = [json.loads(line).get("trace_id") for line in lines.getvalue().splitlines()]
    assert said == ["a" * 32, "own", None]
