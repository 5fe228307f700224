"""Log lines by structlog, as JSON for machines or coloured for a terminal; the standard library's records go there too.

Every line carries the service, the trace id, and the values that `bound()` has added (such as the request id and ids of
entities). Passwords in URLs are masked. A line that cannot be written raises no error (`log_output`). Nothing is
configured at import: `shared.service.lifecycle.main` or a test calls `configure_logging` once.
"""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Final, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.telemetry.log_output import LogOutput, give_up_at_exit
from shared.telemetry.tracing import trace_id

Format = Literal["auto", "json", "console"]
CALLER: Final[ContextVar[str | None]] = ContextVar("hodei_caller", default=None)
"""The id of the token for which the current request acts. It is set for each request, so it costs less than a value of
`bound()`."""
LIBRARY: Final = "library.message"
"""The `event` of a line that a library logged; its text is in `message`."""

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_SECRETS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    # In a URL: a password, or a token without a name.
    "://": (re.compile(r"(?<=://)([^\s/:@]*:)?[^\s/]+(?=@)"), r"\1***"),
    # Rejected data that pydantic and PostgreSQL repeat in their errors.
    "input_value=": (re.compile(r"(?<=input_value=).*?(?=, input_type=|$)", re.MULTILINE | re.DOTALL), "***"),
    "DETAIL:": (re.compile(r"(?<=DETAIL:)[^\n]*"), " ***"),
}
"""By a substring that every text with such a secret contains: the secret's pattern, and its replacement."""

_SECRET_KEYS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "env",
        "environment",
        "headers",
        "idempotency_key",
        "password",
        "secret",
        "token",
    }
)
"""Fields whose values are always masked."""


def configure_logging(
    *, service: str, format: Format = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Set up logging for this process, by default on standard error. `level` is one of LEVELS."""
    out = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and out.isatty())

    output = LogOutput(out)

    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_service,
        output.name_lost,
        name_caller,
        name_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Plain tracebacks: the pretty ones print local variables, which may contain secrets.
        structlog.processors.format_exc_info,
        redact,
        structlog.dev.ConsoleRenderer(colors=out.isatty()) if console else _render_json,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, output)),
        cache_logger_on_first_use=stream is None,  # a test configures many times, a process once
    )
    _lead_in_standard_library(LEVELS[level])
    if stream is None:
        give_up_at_exit(out)


def bound(**values: object) -> AbstractContextManager[None]:
    """Add values to every line logged inside the `with` block and by tasks started in it."""
    return structlog.contextvars.bound_contextvars(**values)


def name_caller(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that adds the id of the current request's token to a line without one."""
    if "token_id" not in event and (caller := CALLER.get()) is not None:
        event["token_id"] = caller
    return event


def name_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that adds the current trace id to a line without one."""
    if "trace_id" not in event and (trace := trace_id()) is not None:
        event["trace_id"] = trace
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that masks passwords in URLs, data repeated in errors, and the values of _SECRET_KEYS."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str):
            for mark, (pattern, left) in _SECRETS.items():
                if mark in value:
                    event[key] = value = pattern.sub(left, value)
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class _ToStructlog(logging.Handler):
    """Forwards the standard library's records (aiohttp, asyncpg, nats, asyncio) to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                max(logging.DEBUG, min(record.levelno, logging.CRITICAL)) // 10 * 10,
                LIBRARY,
                logger=record.name,
                message=record.getMessage(),
                **({"exc_info": record.exc_info} if record.exc_info else {}),
            )
        except Exception:  # noqa: BLE001  # as `logging` requires: a broken record must not break its sender
            self.handleError(record)


def _lead_in_standard_library(level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _ToStructlog)]:
        root.removeHandler(handler)
    root.addHandler(_ToStructlog())
    root.setLevel(max(level, logging.INFO))
