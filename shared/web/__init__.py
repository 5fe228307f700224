"""HTTP: the application, its routes and their OpenAPI document, problems, bodies, and event streams.

Other packages import from here. The modules inside are private, except those that need the bus or PostgreSQL, which
not every process has: `dead_letters`, `idempotency`, `logs`, `paging` and `verdicts`.
"""

from shared.web.api import IDEMPOTENCY_KEY, Api
from shared.web.app import DOCUMENT, METRICS, WebServer, create_web_app
from shared.web.bodies import whole_body
from shared.web.decode import MAX_ERRORS, BodyReader, invalid
from shared.web.load import Limits, Returns, is_stopping, polling, waiting
from shared.web.middlewares import LimitMetrics
from shared.web.openapi import Answer
from shared.web.responses import json_response
from shared.web.sse import EVENT_STREAM, EventStream

__all__ = [
    "DOCUMENT",
    "EVENT_STREAM",
    "IDEMPOTENCY_KEY",
    "MAX_ERRORS",
    "METRICS",
    "Answer",
    "Api",
    "BodyReader",
    "EventStream",
    "LimitMetrics",
    "Limits",
    "Returns",
    "WebServer",
    "create_web_app",
    "invalid",
    "is_stopping",
    "json_response",
    "polling",
    "waiting",
    "whole_body",
]
