"""The OpenAPI document: valid, complete, and one per application."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from shared.telemetry import Metrics
from shared.web import Api
from shared.web.dialect import to_openapi_30


@pytest.fixture
async def document(client: TestClient[Any, Any]) -> dict[str, Any]:
    response = await client.get("/openapi.json")
    assert response.content_type == "application/json"
    return await response.json()  # type: ignore[no-any-return]


async def test_the_document_is_valid_openapi_30(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.0.3"
    assert [server["url"] for server in document["servers"]] == ["."], "holds below any path"
    assert document["info"] == {"title": "Toys", "version": "1.2.3", "description": ""}


async def test_it_has_every_route_once_and_no_head(document: dict[str, Any]) -> None:
    operations = {
        f"{method} {path}": operation["operationId"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        "post /api/v1/things": "create_thing",
        "post /api/v1/things/batch": "create_things",
        "get /api/v1/things": "list_things",
        "get /api/v1/things/{id}": "get_thing",
        "put /api/v1/things/{id}": "update_thing",
        "patch /api/v1/things/{id}": "patch_thing",
        "delete /api/v1/things/{id}": "delete_thing",
        "post /api/v1/things/{id}/cancel": "cancel_thing",
        "post /api/v1/things/{id}/wake": "wake_thing",
        "get /api/v1/stream": "stream_things",
        "get /health": "get_health",
        "get /health/live": "get_liveness",
        "get /metrics": "get_metrics",
        "get /openapi.json": "get_openapi",
        "get /swagger-ui": "get_swagger_ui",
    }


async def test_a_creation_documents_its_key_its_location_and_its_problems(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/things"]["post"]
    assert operation["tags"] == ["things"]
    assert [p["name"] for p in operation["parameters"]] == ["Idempotency-Key"]
    assert operation["requestBody"]["required"] is True
    assert "Location" in operation["responses"]["201"]["headers"]
    problems = {"400", "404", "405", "408", "409", "413", "422", "429", "500", "503"}
    assert problems <= set(operation["responses"])
    too_many = document["components"]["responses"]["Problem429"]
    assert list(too_many["content"]) == ["application/problem+json"]
    assert "Retry-After" in too_many["headers"]


async def test_a_list_documents_its_filters_and_its_link(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/things"]["get"]
    parameters = {p["name"]: p for p in operation["parameters"]}
    assert set(parameters) == {"limit", "cursor", "status", "name"}
    assert parameters["limit"]["schema"] == {"type": "integer", "default": 100, "minimum": 1, "maximum": 1000}
    assert parameters["status"]["schema"]["type"] == "array"
    assert "Link" in operation["responses"]["200"]["headers"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"


def test_null_is_a_nullable_type_and_never_a_schema_of_its_own() -> None:
    assert to_openapi_30({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}) == {
        "type": "string",
        "enum": ["a", None],
        "nullable": True,
    }
    assert to_openapi_30({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}) == {
        "anyOf": [{"type": "string", "nullable": True}, {"type": "integer"}]
    }
    assert to_openapi_30({"anyOf": [{"oneOf": [{"type": "string"}, {"type": "array"}]}, {"type": "null"}]}) == {
        "oneOf": [{"type": "string", "nullable": True}, {"type": "array"}]
    }
    reference = {"anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}], "description": "One."}
    assert to_openapi_30(reference) == {
        "allOf": [{"$ref": "#/components/schemas/ThingOrNull"}],
        "description": "One.",
    }


def test_a_map_keeps_the_type_of_its_values_whatever_its_keys_look_like() -> None:
    assert to_openapi_30({"type": "object", "patternProperties": {"^[a-z]+$": {"type": "string"}}}) == {
        "type": "object",
        "additionalProperties": {"type": "string"},
    }


async def test_other_media_types_are_documented_where_asked_for(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/v1/things/{id}"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/json", "text/plain", "text/event-stream"]


async def test_components_hold_what_is_pointed_at_and_no_query_models(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"Thing", "ThingIn", "StepIn", "JobStatus", "Problem", "FieldProblem"} <= set(schemas)
    assert "ThingQuery" not in schemas


async def test_the_longest_texts_of_a_problem_are_documented(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["properties"]["detail"]["maxLength"] == 2000
    field = schemas["FieldProblem"]["properties"]
    assert field["msg"]["maxLength"] == 2000
    assert {"type": "string", "maxLength": 100} in field["loc"]["items"]["anyOf"]


async def test_two_applications_in_one_process_do_not_disturb_each_other(
    make_app: Callable[..., web.Application],
) -> None:
    async with TestClient(TestServer(make_app(metrics=Metrics()))) as first:
        one = await (await first.get("/openapi.json")).read()
        async with TestClient(TestServer(make_app(metrics=Metrics(), apis=[]))) as second:
            other = await (await second.get("/openapi.json")).json()
        async with TestClient(TestServer(make_app(metrics=Metrics()))) as third:
            assert await (await third.get("/openapi.json")).read() == one
    assert "/api/v1/things" not in other["paths"]
    validate(other)


async def test_the_same_api_may_serve_two_applications(make_app: Callable[..., web.Application]) -> None:
    api = Api(tag="x")

    @api.get("/x", answers={200: None}, summary="x")
    async def get_x(request: web.Request) -> web.StreamResponse:
        return web.Response()

    documents = []
    for _ in range(2):
        async with TestClient(TestServer(make_app(metrics=Metrics(), apis=[api]))) as client:
            documents.append(await (await client.get("/openapi.json")).read())
    assert documents[0] == documents[1]


def test_two_handlers_of_one_name_are_refused(make_app: Callable[..., web.Application]) -> None:
    api = Api(tag="x")

    async def same(request: web.Request) -> web.StreamResponse:
        return web.Response()

    api.get("/x", answers={200: None}, summary="x")(same)
    api.get("/y", answers={200: None}, summary="y")(same)
    with pytest.raises(ValueError, match="two routes are called same"):
        make_app(apis=[api])


def test_a_handler_that_does_not_fit_its_route_is_refused_at_once() -> None:
    async def get_x(request: web.Request) -> web.StreamResponse:
        return web.Response()

    with pytest.raises(TypeError, match="its route gives"):
        Api(tag="x").get("/x/{id}", answers={200: None}, summary="x")(get_x)


@pytest.mark.parametrize(
    ("modern", "old"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"$ref": "#/x"}, {"type": "null"}], "default": None},
            {"allOf": [{"$ref": "#/xOrNull"}], "default": None},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {"anyOf": [{"type": "string", "nullable": True}, {"type": "integer"}]},
        ),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"const": 1}, {"enum": [1]}),
        ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
        ({"$ref": "#/x", "description": "d"}, {"allOf": [{"$ref": "#/x"}], "description": "d"}),
        ({"$ref": "#/x"}, {"$ref": "#/x"}),
        ({"examples": ["a", "b"]}, {"example": "a"}),
        ({"type": "array", "prefixItems": [{"const": 1}]}, {"type": "array", "items": {"anyOf": [{"enum": [1]}]}}),
        (
            {"properties": {"const": {"const": 1}, "examples": {"type": "null"}}},
            {"properties": {"const": {"enum": [1]}, "examples": {"nullable": True, "enum": [None]}}},
        ),
        ({"type": "object", "propertyNames": {"pattern": "x"}}, {"type": "object"}),
        ({"default": {"const": 1}}, {"default": {"const": 1}}),
    ],
)
def test_the_dialect_is_translated(modern: Any, old: Any) -> None:
    assert to_openapi_30(modern) == old
