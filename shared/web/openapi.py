"""Generates the OpenAPI document from the models that validate the requests.

Here: `PydanticApiSpec`, which collects what aiohttp-apispec's decorators left on the handlers and writes OpenAPI 3.0.3
with apispec, and `Answer`, which describes a response. Not here: our own decorators (`api`) and the translation of
schemas (`dialect`).

aiohttp-apispec writes Swagger 2.0 from marshmallow schemas, calls any callable that it is given, mutates the handlers
and documents HEAD. So it serves as a base class only: its decorators and its walk over the routes are used, everything
between a model and the document is replaced, and handlers are not changed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias, cast

import orjson
from aiohttp import web
from aiohttp_apispec import AiohttpApiSpec
from apispec import APISpec
from pydantic import TypeAdapter

from schemas.access import Role
from schemas.rest.problem import Problem
from shared.web.dialect import OR_NULL, Schema, or_null, to_openapi_30, without_null
from shared.web.guard import SESSION_COOKIE
from shared.web.problems import PROBLEM_JSON

Mode: TypeAlias = Literal["validation", "serialization"]
Operation: TypeAlias = dict[str, Any]

OPENAPI: Final = "3.0.3"
JSON: Final = "application/json"

SCHEME: Final = "token"
"""The name of the security scheme."""
SESSION: Final = "session"
"""The name of the security scheme of browser sessions."""
ROLE: Final = "x-hodei-role"
"""The lowest role that may call an operation."""

_SERVER: Final = {"url": ".", "description": "The service that this document comes from."}
"""Relative to the document's own URL, so that it holds below any path."""
_TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "hodei_…",
    "description": "A token of the platform. While access is off (`HODEI_AUTH=off`), no token is needed.",
}
_COOKIE: Final = {
    "type": "apiKey",
    "in": "cookie",
    "name": SESSION_COOKIE,
    "description": "The cookie of a browser session, which only the session's own routes take.",
}
_COMPONENT: Final = "#/components/schemas/"
_HEADER_TEXTS: Final[Mapping[str, str]] = {
    "Location": "The created resource: its path, or, if `HODEI_PUBLIC_URL` has a path, a reference relative to the URL "
    "of the request.",
    "Link": 'The next page, if there is one: `<…>; rel="next"` (RFC 8288), relative to the URL of the request.',
    "Idempotency-Replayed": "`true` if this is the stored response to an earlier request with the same key.",
    "Retry-After": "After how many seconds to try again.",
    "Set-Cookie": "The session's cookie: HttpOnly, SameSite=Strict, and Secure over TLS.",
    "WWW-Authenticate": "`Bearer`: send a token.",
    "Allow": "The methods that this path allows.",
}
_PROBLEM_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A route's response with one status.

    `model` is the type of the JSON: a model, `list[Model]` or None for no JSON. `also` names further media types that
    the same status may carry as text (`text/plain`, `text/event-stream`). `headers` are documented by name.
    """

    model: object | None = None
    also: Sequence[str] = ()
    headers: Sequence[str] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Uses:
    """A type in one direction: its schema as input may differ from its schema as output.

    Not callable, because aiohttp-apispec's decorators call anything callable that they are given.
    """

    kind: object
    mode: Mode


@dataclass(frozen=True, slots=True)
class Documented:
    """One route's responses, which its handler carries through aiohttp-apispec's registry."""

    answers: Mapping[int, Answer]
    problems: Sequence[int]
    uses: Mapping[int, Uses] = field(default_factory=dict)
    role: Role | None = None
    """The lowest role that may call it; None for a route that needs no token."""
    session: bool = False
    """Whether it takes a session's cookie in place of a token."""


class PydanticApiSpec(AiohttpApiSpec):  # type: ignore[misc]  # aiohttp-apispec ships no types
    """The document of one application. Call `collect(app)` once all routes are added, then `document()`."""

    def __init__(self, *, title: str, version: str, description: str, tags: Sequence[Mapping[str, str]]) -> None:
        super().__init__(title=title, version=version)
        info = {"description": description}
        self.spec = APISpec(title, version, OPENAPI, info=info, tags=list(tags), servers=[dict(_SERVER)])
        self._refs: dict[Uses, Schema] = {}
        self._definitions: dict[str, Schema] = {}
        self._operation_ids: set[str] = set()

    def collect(self, app: web.Application) -> None:
        """Read every documented route of `app`. Raises ValueError when two of them share an operationId."""
        routes = [route for route in app.router.routes() if hasattr(route.handler, "__apispec__")]
        documented = [route.handler.__apispec__ for route in routes]  # type: ignore[attr-defined]
        self._generate({Uses(Problem, "serialization"), *_all_uses(documented)})
        for status in sorted({status for one in documented for status in one["hodei"].problems}):
            self.spec.components.response(_problem_name(status), self._problem(status))
        self.spec.components.security_scheme(SCHEME, dict(_TOKEN))
        if any(one["hodei"].session for one in documented):
            self.spec.components.security_scheme(SESSION, dict(_COOKIE))
        for route in routes:
            self._register_route(route, route.method.lower(), route.handler)
        self._add_components()

    def document(self) -> bytes:
        """The document as JSON."""
        return orjson.dumps(self.spec.to_dict())

    def _generate(self, uses: Iterable[Uses]) -> None:
        """Generate all schemas in one call, so that pydantic itself tells apart models of the same name."""
        wanted = sorted(uses, key=repr)
        adapters: list[tuple[int, Mode, TypeAdapter[Any]]] = [
            (index, use.mode, TypeAdapter(cast("type[Any]", use.kind))) for index, use in enumerate(wanted)
        ]
        schemas, top = TypeAdapter.json_schemas(adapters, ref_template=_COMPONENT + "{model}")
        definitions = top.get("$defs", {})
        # A nullable twin keeps the title, by which code generators recognise both as one class.
        self._definitions = {name: {"title": name, **to_openapi_30(one)} for name, one in definitions.items()}
        self._definitions |= {name + OR_NULL: or_null(schema) for name, schema in self._definitions.items()}
        self._refs = {use: to_openapi_30(schemas[index, use.mode]) for index, use in enumerate(wanted)}

    def _update_paths(self, data: Mapping[str, Any], method: str, url_path: str) -> None:
        """Called by the base class for each route, with what the decorators left on its handler."""
        if method == "head":  # aiohttp answers HEAD beside every GET; it is the same operation
            return
        operation_id = data["operationId"]
        if operation_id in self._operation_ids:
            raise ValueError(f"two routes are called {operation_id}")
        self._operation_ids.add(operation_id)
        operation: Operation = {
            key: data[key] for key in ("tags", "summary", "description", "operationId") if data.get(key)
        }
        parameters = [*data["parameters"]]
        for schema in data["schemas"]:
            use = schema["schema"]
            if schema["location"] == "json":
                required = bool(schema["options"]["required"])
                operation["requestBody"] = {"required": required, "content": self._content(use)}
            else:
                parameters += self._query_parameters(use)
        if parameters:
            operation["parameters"] = parameters
        operation |= _access(data["hodei"], operation.get("description", ""))
        operation["responses"] = self._responses(data["hodei"])
        self.spec.path(path=url_path, operations={method: operation})

    def _responses(self, documented: Documented) -> dict[str, object]:
        responses: dict[str, object] = {}
        for status, answer in documented.answers.items():
            content = self._content(documented.uses[status]) if status in documented.uses else {}
            content |= {media: {"schema": {"type": "string"}} for media in answer.also}
            description = answer.description or HTTPStatus(status).phrase
            responses[str(status)] = _response(description, content, answer.headers)
        for status in documented.problems:
            responses.setdefault(str(status), {"$ref": f"#/components/responses/{_problem_name(status)}"})
        return responses

    def _problem(self, status: int) -> dict[str, object]:
        content = {PROBLEM_JSON: {"schema": self._refs[Uses(Problem, "serialization")]}}
        return _response(HTTPStatus(status).phrase, content, _PROBLEM_HEADERS.get(status, ()))

    def _content(self, use: Uses) -> dict[str, object]:
        return {JSON: {"schema": self._refs[use]}}

    def _query_parameters(self, use: Uses) -> Iterator[Operation]:
        schema = self._refs[use]
        if isinstance(ref := schema.get("$ref"), str):
            schema = self._definitions[ref.removeprefix(_COMPONENT)]
        required = schema.get("required")
        properties = schema.get("properties")
        assert isinstance(properties, dict), f"{use.kind!r} is not a flat model"
        for name, sub in properties.items():
            assert isinstance(sub, dict)
            inner = without_null({key: value for key, value in sub.items() if key != "title"})
            if inner.get("default", ...) is None:
                del inner["default"]
            parameter: Operation = {"in": "query", "name": name, "schema": inner}
            if isinstance(description := inner.pop("description", None), str):
                parameter["description"] = description
            if isinstance(required, list) and name in required:
                parameter["required"] = True
            yield parameter

    def _add_components(self) -> None:
        """Add the schemas that the document refers to; a query's model, for example, is split into parameters."""
        pending = [_pointed_at(self.spec.to_dict())]
        seen: set[str] = set()
        while pending:
            for name in sorted(pending.pop() - seen):
                seen.add(name)
                self.spec.components.schema(name, self._definitions[name])
                pending.append(_pointed_at(self._definitions[name]))


def _all_uses(documented: Sequence[Mapping[str, Any]]) -> Iterator[Uses]:
    for one in documented:
        yield from (schema["schema"] for schema in one["schemas"])
        yield from one["hodei"].uses.values()


def _access(documented: Documented, description: str) -> Operation:
    """Who may call an operation, for programs and, after its description, in words."""
    role = documented.role
    if role is None:
        return {"security": []}
    words = f"{description}\n\nNeeds the role `{role}`." if description else f"Needs the role `{role}`."
    schemes: list[Operation] = [{SCHEME: []}, *([{SESSION: []}] if documented.session else [])]
    return {"security": schemes, ROLE: role.value, "description": words}


def _response(description: str, content: Mapping[str, object], headers: Sequence[str]) -> dict[str, object]:
    response: dict[str, object] = {"description": description}
    if content:
        response["content"] = content
    if headers:
        response["headers"] = {
            name: {"description": _HEADER_TEXTS.get(name, ""), "schema": {"type": "string"}} for name in headers
        }
    return response


def _pointed_at(value: object) -> set[str]:
    """The names of all component schemas that `value` refers to."""
    if isinstance(value, dict):
        return {name for inner in value.values() for name in _pointed_at(inner)}
    if isinstance(value, list | tuple):
        return {name for inner in value for name in _pointed_at(inner)}
    if isinstance(value, str) and value.startswith(_COMPONENT):
        return {value.removeprefix(_COMPONENT)}
    return set()


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def answers_of(answers: Mapping[int, object | None]) -> dict[int, Answer]:
    """Every entry as an `Answer`. A bare model or None is the common case."""
    return {status: one if isinstance(one, Answer) else Answer(one) for status, one in answers.items()}


def uses_of(answers: Mapping[int, Answer]) -> dict[int, Uses]:
    """The types of the responses, by status."""
    return {
        status: Uses(answer.model, "serialization") for status, answer in answers.items() if answer.model is not None
    }
