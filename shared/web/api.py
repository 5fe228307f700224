"""Declaring routes: one decorator gives a route's path, its body and query, and its responses.

Here: `Api`, a resource's table of routes. From its declarations requests are decoded and validated before the handler
runs, and the OpenAPI document is generated. Not here: how bodies and queries are read (`decode`), and how the document
is made (`openapi`).
"""

import inspect
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp_apispec import docs, json_schema, querystring_schema

from schemas.access import Role
from schemas.ids import is_id
from schemas.model import Model
from shared.errors import NotFound
from shared.web.bodies import whole_body
from shared.web.decode import BodyReader, QueryReader, refuse_query
from shared.web.load import RequestKind
from shared.web.openapi import Answer, Documented, Uses, answers_of, uses_of

Handler = Callable[..., Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)

IDEMPOTENCY_KEY: Final = "Idempotency-Key"

_IDEMPOTENCY_PARAMETER: Final[Mapping[str, object]] = {
    "in": "header",
    "name": IDEMPOTENCY_KEY,
    "description": (
        "A key of your choice. For 24 hours, the same key with the same body returns the first response again and "
        "creates nothing; with another body it is refused."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_ANYWHERE: Final = (400, 414, 417, 421, 431)
"""Statuses that every route may return, system routes too: an unreadable request, or one for another host."""
_ALWAYS: Final = (*_ANYWHERE, 405, 422, 429, 500, 503)


class Nothing(Model):
    """The body of a POST that takes no body: empty, or an object without fields."""


class Api:
    """The routes of one resource, under one tag of the OpenAPI document.

    A handler is called with the request and, by name: each path parameter as text, `body` if a body is declared,
    `query` if a query is. Path parameters called `id` or ending in `_id` are ids; a value that is not a UUID gives 404.
    Undeclared query parameters are refused. `kind` is the word for the resource of an `{id}`, if it is not the singular
    of the path's part before it.

    A route needs the role `viewer` if it is a GET and `operator` otherwise, unless `role` names another.

    A `system` api holds the service's own routes (health, metrics): always answered, never limited, and not strict
    about the query.
    """

    def __init__(self, *, tag: str, description: str = "", kind: str = "", system: bool = False) -> None:
        self.tag = tag
        self.description = description
        self.kind = kind
        self.system = system
        self.routes: list[web.RouteDef] = []
        self.kinds: dict[tuple[str, str], RequestKind] = {}
        """What requests other than reads count as, by method and path."""
        self.roles: dict[tuple[str, str], Role | None] = {}
        """The role that a request needs while access is on, by method and path; None for a public route."""
        self.of_sessions: set[tuple[str, str]] = set()
        """The routes that take a session's cookie in place of a token, by method and path."""

    def get(
        self,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, object | None],
        query: type[object] | None = None,
        description: str = "",
        problems: Sequence[int] = (),
        role: Role | None = None,
        public: bool = False,
    ) -> Callable[[H], H]:
        """A GET route, with HEAD. `problems` are error statuses beside those that the declaration implies. With
        `public`, it needs no token."""
        return self._route(
            "GET", path, summary, answers, None, query, description, problems, creates=False, role=role, public=public
        )

    def post(
        self,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, object | None],
        body: type[object] | None = None,
        query: type[object] | None = None,
        description: str = "",
        problems: Sequence[int] = (),
        creates: bool = False,
        raw: bool = False,
        role: Role | None = None,
        session: bool = False,
    ) -> Callable[[H], H]:
        """A POST route. With `creates`, `Idempotency-Key` is documented (the handler honours it with
        `idempotent`) and a 201 carries `Location`. With `raw`, `body` only documents the body: the handler gets its
        bytes and decodes them itself. With `session`, it takes a session's cookie in place of a token.
        """
        if session:
            self.of_sessions.add(("POST", path))
        return self._route(
            "POST", path, summary, answers, body, query, description, problems, creates=creates, raw=raw, role=role
        )

    def put(
        self,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, object | None],
        body: type[object] | None = None,
        query: type[object] | None = None,
        description: str = "",
        problems: Sequence[int] = (),
        role: Role | None = None,
    ) -> Callable[[H], H]:
        """A PUT route."""
        return self._route("PUT", path, summary, answers, body, query, description, problems, creates=False, role=role)

    def patch(
        self,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, object | None],
        body: type[object],
        description: str = "",
        problems: Sequence[int] = (),
        role: Role | None = None,
    ) -> Callable[[H], H]:
        """A PATCH route: it changes the fields that its body has."""
        return self._route("PATCH", path, summary, answers, body, None, description, problems, creates=False, role=role)

    def delete(
        self,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, object | None],
        query: type[object] | None = None,
        description: str = "",
        problems: Sequence[int] = (),
        role: Role | None = None,
        session: bool = False,
    ) -> Callable[[H], H]:
        """A DELETE route. With `session`, it takes a session's cookie in place of a token."""
        if session:
            self.of_sessions.add(("DELETE", path))
        return self._route(
            "DELETE", path, summary, answers, None, query, description, problems, creates=False, role=role
        )

    def _route(
        self,
        method: str,
        path: str,
        summary: str,
        answers: Mapping[int, object | None],
        body: type[object] | None,
        query: type[object] | None,
        description: str,
        problems: Sequence[int],
        *,
        creates: bool,
        raw: bool = False,
        role: Role | None = None,
        public: bool = False,
    ) -> Callable[[H], H]:
        needed = None if public else role or (Role.VIEWER if method == "GET" else Role.OPERATOR)
        names = _path_names(path)

        def register(handler: H) -> H:
            _check_signature(handler, names, body=body, query=query)
            kinds = {name: _kind(path, name, self.kind) for name in names if _is_id_name(name)}
            endpoint = _endpoint(handler, method, names, kinds, body, query, strict=not self.system, raw=raw)
            described = _with_headers(answers_of(answers), query, creates=creates)
            implied = {*_ANYWHERE} if self.system else _problems(method, names, body)
            if needed is not None:
                implied |= {401, 403}
            parameters = [_path_parameter(name, path, self.kind) for name in names]
            if creates:
                parameters.append(dict(_IDEMPOTENCY_PARAMETER))
            docs(
                tags=[self.tag],
                summary=summary,
                description=description or inspect.getdoc(handler) or "",
                operationId=getattr(handler, "__name__", path),
                parameters=parameters,
                hodei=Documented(
                    described,
                    sorted({*implied, *problems}),
                    uses_of(described),
                    needed,
                    session=(method, path) in self.of_sessions,
                ),
            )(endpoint)
            if body is not None:
                json_schema(Uses(body, "validation"), required=_is_required(body))(endpoint)
            if query is not None:
                querystring_schema(Uses(query, "validation"))(endpoint)
            self.routes.append(_route_def(method, path, endpoint))
            self.roles[method, path] = needed
            if method != "GET":
                submits = creates or raw or method == "PUT"
                self.kinds[method, path] = RequestKind.SUBMISSION if submits else RequestKind.OTHER
            return handler

        return register


def _endpoint(
    handler: Handler,
    method: str,
    names: Sequence[str],
    kinds: Mapping[str, str],
    body: type[object] | None,
    query: type[object] | None,
    *,
    strict: bool,
    raw: bool,
) -> Endpoint:
    """The aiohttp handler around ours: decode, then call. It is on the hot path, so everything is prepared here."""
    read_body = _body_reader(method, body, raw=raw)
    named = body is not None
    read_query = QueryReader(query).read if query is not None else None

    @wraps(handler)
    async def endpoint(request: web.Request) -> web.StreamResponse:
        arguments: dict[str, Any] = {}
        for name in names:
            value = request.match_info[name]
            if name in kinds:
                if not is_id(value.lower()) or len(value) != 36:
                    raise NotFound(kinds[name], value)
                value = value.lower()
            arguments[name] = value
        if read_query is not None:
            arguments["query"] = read_query(request.query)
        elif strict and request.query_string:
            refuse_query(request.query)
        if read_body is not None:
            read = read_body(await whole_body(request))
            if named:
                arguments["body"] = read
        return await handler(request, **arguments)

    return endpoint


def _body_reader(method: str, body: type[Any] | None, *, raw: bool) -> Callable[[bytes], object] | None:
    if raw:
        return bytes
    if body is None and method != "POST":
        return None
    # A POST without a declared body refuses one, so that a client learns that its body has no effect.
    return BodyReader(Nothing if body is None else body).read


def _problems(method: str, names: Sequence[str], body: object) -> set[int]:
    """The error statuses that a route's method, path and body imply."""
    statuses = set(_ALWAYS)
    if method == "POST" or body is not None:
        statuses |= {408, 413, 415}
    if body is not None:
        statuses.add(404)
    if names:
        statuses.add(404)
    if method != "GET":
        statuses |= {403, 409}
    return statuses


def _with_headers(answers: dict[int, Answer], query: type[object] | None, *, creates: bool) -> dict[int, Answer]:
    """The responses with the headers that a route implies: `Link` for a page, `Location` for a creation."""
    fields = getattr(query, "model_fields", {})
    paged = "cursor" in fields and "limit" in fields
    described: dict[int, Answer] = {}
    for status, answer in answers.items():
        implied: list[str] = []
        if status < 300 and paged:
            implied.append("Link")
        if status < 300 and creates:
            implied += ["Location", "Idempotency-Replayed"] if status == 201 else ["Idempotency-Replayed"]
        headers = tuple(dict.fromkeys([*answer.headers, *implied]))
        described[status] = Answer(answer.model, answer.also, headers, answer.description)
    return described


def _check_signature(handler: Handler, names: Sequence[str], *, body: object, query: object) -> None:
    """Raises TypeError when a handler does not fit its route: at declaration, not at the first call."""
    takes = list(inspect.signature(handler).parameters)[1:]
    gets = [*names, *(["body"] if body is not None else []), *(["query"] if query is not None else [])]
    if sorted(takes) != sorted(gets):
        raise TypeError(f"{getattr(handler, '__name__', handler)} takes {takes}, but its route gives {gets}")


def _is_required(body: type[object]) -> bool:
    fields = getattr(body, "model_fields", None)
    return fields is None or any(field.is_required() for field in fields.values())


def _path_names(path: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(path) if name]


def _path_parameter(name: str, path: str, kind: str) -> dict[str, object]:
    schema = {"type": "string", "format": "uuid"} if _is_id_name(name) else {"type": "string"}
    # /api/v1/jobs/{id}: the path's part before a parameter names the resource.
    resource = (kind if name == "id" else "") or path.partition(f"/{{{name}}}")[0].rpartition("/")[2].removesuffix("s")
    description = f"The {resource}'s {name.removeprefix(f'{resource}_')}."
    return {"in": "path", "name": name, "required": True, "schema": schema, "description": description}


def _is_id_name(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _kind(path: str, name: str, own: str) -> str:
    """The kind of entity that a path parameter identifies: a job for `/jobs/{id}`, unless `own` is given."""
    if name != "id":
        return name.removesuffix("_id").replace("_", " ")
    return own or path.partition("/{id}")[0].rpartition("/")[2].removesuffix("s")


def _route_def(method: str, path: str, endpoint: Endpoint) -> web.RouteDef:
    makes = {"GET": web.get, "POST": web.post, "PUT": web.put, "PATCH": web.patch, "DELETE": web.delete}
    return makes[method](path, endpoint)
