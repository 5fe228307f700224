"""Checks every answer against the OpenAPI document of the service that gave it."""

from __future__ import annotations

import json
import re
from typing import Any

from openapi_schema_validator import OAS30ReadValidator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4


class AnswerDoesNotMatch(AssertionError):
    """The service answered something that its own document does not promise."""


class OpenApiCheck:
    """One service's document, ready to hold answers against; remembers which operations have answered well."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.answered: set[tuple[str, str]] = set()
        self._registry: Registry[Any] = Registry().with_resource("", Resource(document, DRAFT4))
        # The most literal template first: /jobs/batch before /jobs/{id}.
        templates = sorted(document["paths"], key=lambda path: (path.count("{"), -len(path)))
        self._routes = [(path, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")) for path in templates]

    def operations(self) -> set[tuple[str, str]]:
        """Every (METHOD, path template) of the document."""
        return {
            (method.upper(), path)
            for path, item in self.document["paths"].items()
            for method in item
            if method in {"get", "put", "post", "delete", "patch"}
        }

    def check(self, method: str, path: str, status: int, content_type: str, body: bytes) -> None:
        """Raise AnswerDoesNotMatch unless the document has this status, content type and body for the route."""
        if method in ("OPTIONS", "HEAD"):
            return  # of every route, and documented of none
        bare = path.split("?")[0]
        template = next((path for path, pattern in self._routes if pattern.match(bare)), None)
        operation = self.document["paths"].get(template, {}).get(method.lower()) if template else None
        if operation is None:
            if status not in (404, 405):
                raise AnswerDoesNotMatch(f"{method} {bare} answered {status} and is not in the document")
            return
        assert template is not None
        self._hold(f"{method} {template}", operation, status, content_type, body)
        if status < 300:
            self.answered.add((method, template))

    def _hold(self, route: str, operation: dict[str, Any], status: int, content_type: str, body: bytes) -> None:
        answer = operation["responses"].get(str(status)) or operation["responses"].get("default")
        if answer is None:
            raise AnswerDoesNotMatch(f"{route}: {status} is not among {sorted(operation['responses'])}")
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        content = answer.get("content", {})
        media = content_type.split(";")[0]
        if not content:
            if body:
                raise AnswerDoesNotMatch(f"{route} {status}: a body where the document has none")
            return
        if media not in content:
            raise AnswerDoesNotMatch(f"{route} {status}: {media!r} is not among {sorted(content)}")
        if not media.endswith("json"):
            return
        schema = content[media].get("schema", {})
        validator = OAS30ReadValidator(
            self._absolute(schema), registry=self._registry, format_checker=oas30_format_checker
        )
        errors = [
            f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(json.loads(body))
        ]
        if errors:
            raise AnswerDoesNotMatch(f"{route} {status}: " + "; ".join(errors[:5]))

    def _absolute(self, schema: dict[str, Any]) -> dict[str, Any]:
        # The schema is used on its own; its references are into the whole document, which is the registry's "".
        return {**schema, "components": self.document.get("components", {})}
