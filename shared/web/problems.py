"""The one place where an exception becomes a response: RFC 9457 problem documents.

Here: the table from errors to statuses, and the building of the document. An error that is not in the table is a bug:
it is logged with its stack trace, and the client gets only a 500 with the request id.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMessage,
    HttpProcessingError,
    InvalidURLError,
    LineTooLong,
)

from schemas.access import Role
from schemas.rest.problem import MAX_DETAIL, MAX_PART, FieldProblem, Problem
from schemas.states import IllegalTransition
from shared.errors import (
    BusUnavailable,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    Misdirected,
    NotFound,
    Overloaded,
    RoleNeeded,
    TokensUnread,
    Unauthorized,
    Unavailable,
    shortened,
)
from shared.telemetry import trace_id
from shared.web.bodies import CODINGS
from shared.web.protocol import MAX_FIELD, MAX_TARGET
from shared.web.request_id import request_id
from shared.web.responses import Replay

PROBLEM_JSON: Final = "application/problem+json"

_TYPE: Final = "urn:hodei:problem:"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="hodei"'}
_PLACES: Final = frozenset({"body", "query", "path", "header"})
_HTTP_DETAILS: Final[Mapping[int, str]] = {
    404: "this path does not exist",
    408: "the body did not arrive in time",
    413: "the body is larger than this service accepts",
    415: f"a body may have Content-Encoding {' or '.join(CODINGS)}, or none; other codings are not supported",
    417: "only Expect: 100-continue is supported",
}

_log = structlog.stdlib.get_logger("hodei.web")


def problem_response(request: web.BaseRequest, error: Exception) -> web.Response:
    """The response to a request that ended in `error`. Logs errors that are the service's fault."""
    match error:
        case Replay():
            return error.response()
        case Malformed():
            return _problem(request, 400, "malformed", str(error))
        case Unauthorized():
            return _problem(request, 401, "unauthorized", str(error), role=error.role, headers=_CHALLENGE)
        case RoleNeeded():
            return _problem(request, 403, "forbidden", str(error), role=error.role)
        case Forbidden():
            return _problem(request, 403, "forbidden", str(error))
        case Misdirected():
            return _problem(request, 421, "misdirected", str(error))
        case NotFound():
            return _problem(request, 404, "not-found", str(error))
        case Conflict() | IllegalTransition():
            return _problem(request, 409, "conflict", str(error))
        case Invalid():
            return _problem(request, 422, "invalid", str(error), errors=error.errors)
        case Overloaded():
            return _problem(request, 429, "overloaded", str(error), headers=_retry_after(error.retry_after))
        case Unavailable():
            _log.warning("request.unavailable", part=error.what, error=repr(_origin(error)))
            slug = "tokens-unread" if isinstance(error, TokensUnread) else "unavailable"
            return _problem(request, 503, slug, str(error), headers=_retry_after(error.retry_after))
        case BusUnavailable() | TimeoutError():
            _log.warning("request.unavailable", error=repr(error))
            detail = str(error) or "a server that is needed did not answer in time"
            return _problem(request, 503, "unavailable", detail, headers=_retry_after(1))
        case web.HTTPException():
            return _http_problem(request, error)
        case ConnectionResetError():
            _log.info("request.client_gone", method=request.method, path=request.path)
            return _problem(request, 400, "client-gone", "the connection was closed before the request was read")
        case HttpProcessingError():
            return _broken(request, error)
        case web.RequestPayloadError():
            return _problem(request, 400, "malformed", "the body cannot be decoded according to its headers")
        case _:
            _log.error("request.failed", method=request.method, path=request.path, exc_info=error)
            return _problem(
                request, 500, "internal", "an unexpected error; the service's log has it under this request id"
            )


def _broken(request: web.BaseRequest, error: HttpProcessingError) -> web.Response:
    """The response to a request that the parser could not read as HTTP."""
    detail = (error.message or "the request is not HTTP").splitlines()[0].rstrip(":")
    match error:
        case LineTooLong(args=(_, limit, *_)) if limit == MAX_TARGET:
            return _problem(request, 414, "uri-too-long", f"the path and query are longer than {MAX_TARGET} bytes")
        case LineTooLong():
            detail = f"a header field is larger than {MAX_FIELD} bytes"
            return _problem(request, 431, "headers-too-large", detail)
        case BadHttpMessage() if error.message.startswith("Too many headers"):
            return _problem(request, 431, "headers-too-large", "there are too many header fields")
        case InvalidURLError():
            detail = "the request's target is not a path with a query, or has characters that are not percent-encoded"
    return _problem(request, 400, "malformed", detail)


def _http_problem(request: web.BaseRequest, error: web.HTTPException) -> web.Response:
    """The response where aiohttp itself refuses: unknown routes, wrong methods, bodies over the limit or incomplete."""
    headers: dict[str, str] = {}
    detail = _HTTP_DETAILS.get(error.status, error.reason)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        headers["Allow"] = ", ".join(allowed)
        detail = f"{error.method} is not allowed here, only {' and '.join(allowed)}"
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"the body is larger than the limit of {request.client_max_size} bytes"
    elif isinstance(error, web.HTTPUnsupportedMediaType):
        headers["Accept-Encoding"] = ", ".join(CODINGS)
    if error.status >= 500:
        _log.error("request.failed", method=request.method, path=request.path, exc_info=error)
        detail = "an unexpected error; the service's log has it under this request id"
    slug = HTTPStatus(error.status).phrase.lower().replace(" ", "-")
    response = _problem(request, error.status, slug, detail, headers=headers)
    if error.status == HTTPStatus.REQUEST_TIMEOUT:
        response.force_close()  # the late rest of the body must not be parsed as the next request
    return response


def _problem(
    request: web.BaseRequest,
    status: int,
    slug: str,
    detail: str,
    *,
    errors: Sequence[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
    role: Role | None = None,
) -> web.Response:
    problem = Problem(
        type=_TYPE + slug,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=shortened(detail, MAX_DETAIL),
        instance=request.rel_url.raw_path,
        request_id=request_id(request),
        trace_id=trace_id(),
        errors=None if errors is None else [_field_problem(one) for one in errors],
        role=role,
    )
    all_headers = {"Content-Type": PROBLEM_JSON}
    if headers:
        all_headers.update(headers)
    body = problem.model_dump_json(exclude_none=True).encode()
    return web.Response(status=status, body=body, headers=all_headers)


def _field_problem(error: FieldError) -> FieldProblem:
    """A field error as the problem document shows it. Domain rules name only fields: such a field is in the body."""
    loc = error.loc if error.loc and error.loc[0] in _PLACES else ("body", *error.loc)
    way = [part if isinstance(part, int) else shortened(part, MAX_PART) for part in loc]
    msg = shortened(error.msg, MAX_DETAIL)
    return FieldProblem(loc=way, msg=msg, type=error.type, line=error.line, column=error.column)


def _origin(error: Exception) -> BaseException:
    """The cause of an error for the log, or the error itself if it has none."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__) or error


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, ceil(seconds)))}
