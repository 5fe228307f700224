"""HTTP: the application, its routes and their OpenAPI document, problems, bodies, and event streams.

Other packages import from here. The modules inside are private, except those that need the bus or PostgreSQL, which
not every process has: `audit`, `dead_letters`, `idempotency`, `logs`, `paging` and `verdicts`.
"""

from shared.web.api import IDEMPOTENCY_KEY, Api
from shared.web.app import DOCUMENT, DOOR, METRICS, WebServer, create_web_app
from shared.web.bodies import whole_body
from shared.web.decode import MAX_ERRORS, BodyReader, invalid
from shared.web.guard import GUARD, SESSION_COOKIE
from shared.web.load import Limits, Returns, is_stopping, polling, waiting
from shared.web.middlewares import LimitMetrics
from shared.web.openapi import Answer
from shared.web.responses import json_response
from shared.web.sse import EVENT_STREAM, LAST_EVENT_ID, EventStream
from shared.web.tls import ServerTls, server_tls

__all__ = [
    "DOCUMENT",
    "DOOR",
    "EVENT_STREAM",
    "GUARD",
    "IDEMPOTENCY_KEY",
    "LAST_EVENT_ID",
    "MAX_ERRORS",
    "METRICS",
    "SESSION_COOKIE",
    "Answer",
    "Api",
    "BodyReader",
    "EventStream",
    "LimitMetrics",
    "Limits",
    "Returns",
    "ServerTls",
    "WebServer",
    "create_web_app",
    "invalid",
    "is_stopping",
    "json_response",
    "polling",
    "server_tls",
    "waiting",
    "whole_body",
]
