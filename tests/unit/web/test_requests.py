"""What is accepted, what is refused, and in which words."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from shared.errors import (
    BusUnavailable,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    Overloaded,
    Unavailable,
)
from shared.web import Api
from shared.web.paging import decode_cursor, encode_cursor
from tests.unit.web.conftest import Behaviour, Options

Client = TestClient[Any, Any]
ID = "0192f0c1-2345-7abc-8def-0123456789ab"


async def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = await response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert "Traceback" not in json.dumps(body)
    return body


async def test_a_body_is_json_whatever_its_content_type_says(client: Client) -> None:
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json", "x/y"):
        response = await client.post("/api/v1/things", data=b'{"name":"a"}', headers={"Content-Type": content_type})
        assert response.status == 201
        assert await response.json() == {"id": "1", "name": "a", "status": "pending", "parent": None}
        assert response.headers["Location"] == "/api/v1/things/1"


async def test_a_patch_reads_its_body(client: Client, behaviour: Behaviour) -> None:
    response = await client.patch(f"/api/v1/things/{ID}", json={"force": True})
    assert (response.status, behaviour.seen) == (200, [Options(force=True)])
    await problem(await client.patch(f"/api/v1/things/{ID}", json={"forse": True}), 422)
    await problem(await client.patch("/api/v1/things/7", json={"force": True}), 404)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"",
        b"  ",
        b'{"name": "a"',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "ratio": NaN}',
        b'{"name": "a", "ratio": -Infinity}',
        b"[" * 1900,
    ],
)
async def test_what_is_no_json_is_400(client: Client, body: bytes) -> None:
    found = await problem(await client.post("/api/v1/things", data=body), 400)
    assert "JSON" in found["detail"]


async def test_malformed_json_is_located(client: Client) -> None:
    found = await problem(await client.post("/api/v1/things", data=b'{"name":\n oops}'), 400)
    assert "line 2 column 2" in found["detail"]


async def test_an_empty_body_is_an_empty_object_where_nothing_is_required(client: Client, behaviour: Any) -> None:
    response = await client.post(f"/api/v1/things/{ID}/cancel")
    assert response.status == 202
    assert behaviour.seen[-1].force is False


async def test_unknown_fields_are_refused_with_the_nearest_name(client: Client) -> None:
    body = {"nmae": "x", "name": "a", "steps": [{"name": "s", "comand": "ls"}], "form": "b", "zzz": 1, "enviroment": {}}
    found = await problem(await client.post("/api/v1/things", json=body), 422)
    errors = {tuple(error["loc"]): error for error in found["errors"]}
    assert "did you mean name?" in errors["body", "nmae"]["msg"]
    assert "did you mean command?" in errors["body", "steps", 0, "comand"]["msg"]
    assert "did you mean from?" in errors["body", "form"]["msg"]
    assert "did you mean env?" in errors["body", "enviroment"]["msg"]
    assert "valid are name, description" in errors["body", "zzz"]["msg"]
    assert {error["type"] for error in found["errors"]} == {"unknown"}


async def test_every_wrong_field_is_named(client: Client) -> None:
    body = {"priority": 99, "steps": [{"name": "has space"}]}
    found = await problem(await client.post("/api/v1/things", json=body), 422)
    assert [(e["loc"], e["msg"]) for e in found["errors"]] == [
        (["body", "name"], "is required"),
        (["body", "priority"], "should be less than 10"),
        (["body", "steps", 0, "name"], "a name has no spaces"),
    ]


async def test_a_body_of_another_shape_is_422(client: Client) -> None:
    for body in (b"[]", b"null", b'"text"', b"1"):
        await problem(await client.post("/api/v1/things", data=body), 422)


async def test_the_nul_character_is_refused_where_it_is(client: Client) -> None:
    body = {"name": "a", "steps": [{"name": "b", "command": ["x", "a\x00b"]}], "env": {"K\x00": "v"}}
    found = await problem(await client.post("/api/v1/things", json=body), 422)
    assert {tuple(e["loc"]) for e in found["errors"]} == {
        ("body", "steps", 0, "command", 1),
        ("body", "env", "K\\u0000"),
    }
    escaped = await client.post("/api/v1/things", data=rb'{"name": "a \\u0000 NaN"}')
    assert escaped.status == 201


async def test_a_list_of_models_may_be_a_body(client: Client) -> None:
    response = await client.post("/api/v1/things/batch", json=[{"name": "a"}, {"name": "b"}])
    assert [one["name"] for one in await response.json()] == ["a", "b"]
    found = await problem(await client.post("/api/v1/things/batch", json=[{"name": "a"}, {"nam": "b"}]), 422)
    assert found["errors"][0]["loc"] == ["body", 1, "name"]
    assert "did you mean name?" in found["errors"][1]["msg"]


async def test_a_body_over_the_limit_is_413(client: Client) -> None:
    large = b'{"name":"' + b"a" * 3000 + b'"}'

    async def chunks() -> Any:
        for start in range(0, len(large), 500):
            yield large[start : start + 500]

    for data in (large, chunks()):
        found = await problem(await client.post("/api/v1/things", data=data), 413)
        assert "2000 bytes" in found["detail"]
    exactly = b'{"name":"' + b"a" * (2000 - 11) + b'"}'
    assert (await client.post("/api/v1/things", data=exactly)).status == 201


async def test_query_parameters_are_read_and_may_be_repeated(client: Client, behaviour: Any) -> None:
    response = await client.get("/api/v1/things?limit=2&status=failed&status=running&name=x")
    assert response.status == 200
    query = behaviour.seen[-1]
    assert (query.limit, query.status, query.name) == (2, ["failed", "running"], "x")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limt=3", "did you mean limit?"),
        ("name=a&name=b", "more than once"),
        ("limit=0", "greater than or equal to 1"),
        ("limit=1001", "less than or equal to 1000"),
        ("limit=many", "whole number"),
        ("status=odd", "pending"),
        ("name=a%00b", "NUL"),
    ],
)
async def test_what_a_query_must_not_say_is_422(client: Client, query: str, words: str) -> None:
    found = await problem(await client.get(f"/api/v1/things?{query}"), 422)
    assert found["errors"][0]["loc"][0] == "query"
    assert words in found["errors"][0]["msg"]


async def test_a_route_without_parameters_takes_none(client: Client) -> None:
    found = await problem(await client.get(f"/api/v1/things/{ID}?x=1"), 422)
    assert found["errors"][0]["loc"] == ["query", "x"]
    assert (await client.get("/health?x=1")).status == 200


@pytest.mark.parametrize("bad", ["42", "x", ID + "%0A", ID + "0", ID.replace("-", ""), "%00", "a%20b"])
async def test_an_id_that_is_no_uuid_is_not_found(client: Client, bad: str) -> None:
    found = await problem(await client.get(f"/api/v1/things/{bad}"), 404)
    assert found["detail"].startswith("there is no thing ")


async def test_a_resource_whose_path_is_not_its_plural_has_its_own_word(
    make_app: Callable[..., web.Application],
) -> None:
    api = Api(tag="schedules", kind="schedule")

    @api.get("/api/v1/scheduled/{id}", answers={204: None}, summary="Show a schedule")
    async def get_schedule(request: web.Request, id: str) -> web.StreamResponse:
        return web.Response(status=204)

    async with TestClient(TestServer(make_app(apis=[api]))) as client:
        found = await problem(await client.get("/api/v1/scheduled/one"), 404)
        document = await (await client.get("/openapi.json")).json()
    assert found["detail"] == "there is no schedule one"
    [parameter] = document["paths"]["/api/v1/scheduled/{id}"]["get"]["parameters"]
    assert parameter["description"] == "The schedule's id."


async def test_ids_are_found_in_upper_case_too(client: Client) -> None:
    assert (await (await client.get(f"/api/v1/things/{ID.upper()}")).json())["id"] == ID


async def test_an_unknown_route_is_404(client: Client) -> None:
    found = await problem(await client.get("/api/v1/nothing"), 404)
    assert found["instance"] == "/api/v1/nothing"
    assert found["detail"] == "this path does not exist"


async def test_a_wrong_method_is_405_with_allow(client: Client) -> None:
    response = await client.patch("/api/v1/things")
    await problem(response, 405)
    assert response.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("field", "value"), [("priority", "5"), ("priority", True), ("ratio", "0.5"), ("ratio", False), ("name", 5)]
)
async def test_a_value_of_another_json_type_is_422(client: Client, field: str, value: object) -> None:
    found = await problem(await client.post("/api/v1/things", json={"name": "a"} | {field: value}), 422)
    assert [(error["loc"], error["type"][-5:]) for error in found["errors"]] == [(["body", field], "_type")]


def test_a_long_unknown_id_is_not_told_back_whole() -> None:
    assert len(str(NotFound("job", "x" * 1_000_000))) < 200


LONG = "x" * 1500


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a", LONG: 1},
        {"name": "a", "env": {LONG: 1}},
        {"name": "a", "env": {LONG + "\0": "v"}},
        f'{{"name": "a", "env": {{"{LONG}": "1", "{LONG}": "2"}}}}'.replace(LONG, LONG[:900]),
    ],
)
async def test_a_long_key_is_not_told_back_whole(client: Client, body: Any) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    found = await problem(await client.post("/api/v1/things", data=raw), 422)
    assert "xxx…" in found["detail"]
    assert len(found["detail"]) < 400
    [error] = found["errors"]
    assert len(error["loc"][-1]) == 100
    assert len(error["msg"]) < 250


async def test_a_long_query_parameter_is_not_told_back_whole(client: Client) -> None:
    found = await problem(await client.get(f"/api/v1/things?{LONG}=1"), 422)
    assert len(found["detail"]) < 400


async def test_a_detail_is_never_longer_than_documented(client: Client, behaviour: Any) -> None:
    behaviour.fails_with = Conflict(LONG * 5)
    found = await problem(await client.post("/api/v1/things", json={"name": "a"}), 409)
    assert found["detail"] == (LONG * 2)[:1999] + "…"
    steps = [{"nam": "a"}] * 100
    found = await problem(await client.post("/api/v1/things", json={"name": "a", "steps": steps}), 422)
    assert len(found["detail"]) == 2000
    assert len(found["errors"]) == 200


@pytest.mark.parametrize("cause", [OSError("the server hung up"), None])
async def test_what_is_not_available_is_logged_with_its_reason(
    client: Client, behaviour: Any, cause: Exception | None
) -> None:
    behaviour.fails_with = Unavailable("database")
    behaviour.fails_with.__cause__ = cause
    with capture_logs() as said:
        await problem(await client.post("/api/v1/things", json={"name": "a"}), 503)
    [entry] = [one for one in said if one["event"] == "request.unavailable"]
    assert (entry["part"], entry["error"]) == ("database", repr(cause or behaviour.fails_with))


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (NotFound("job", "7"), 404, "not-found"),
        (Conflict("it is over"), 409, "conflict"),
        (Overloaded(2.5), 429, "overloaded"),
        (Unavailable("database"), 503, "unavailable"),
        (BusUnavailable("no ack"), 503, "unavailable"),
        (TimeoutError(), 503, "unavailable"),
        (RuntimeError("secret detail"), 500, "internal"),
    ],
)
async def test_errors_become_problems(client: Client, behaviour: Any, error: Exception, status: int, slug: str) -> None:
    behaviour.fails_with = error
    response = await client.post("/api/v1/things", json={"name": "a"})
    found = await problem(response, status)
    assert found["type"] == f"urn:hodei:problem:{slug}"
    assert "secret" not in found["detail"]
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    if isinstance(error, Overloaded):
        assert response.headers["Retry-After"] == "3"


async def test_rules_of_the_domain_are_told_like_those_of_the_models(client: Client, behaviour: Any) -> None:
    behaviour.fails_with = Invalid([FieldError(("steps", 1, "depends_on"), "a cycle: a, b", "cycle")])
    found = await problem(await client.post("/api/v1/things", json={"name": "a"}), 422)
    assert found["errors"] == [{"loc": ["body", "steps", 1, "depends_on"], "msg": "a cycle: a, b", "type": "cycle"}]


async def test_a_page_links_to_the_next_and_keeps_its_filters(client: Client, behaviour: Any) -> None:
    response = await client.get("/api/v1/things?limit=2&status=failed&status=running")
    assert await response.json() == [{"id": "1"}, {"id": "2"}]
    link = response.links["next"]["url"]
    assert link.query.getall("status") == ["failed", "running"]
    following = await client.get(link.relative())
    assert behaviour.seen[-1] == (ID,)
    assert "Link" not in following.headers


@pytest.mark.parametrize(
    "cursor", ["", "x", "%%%", "é", encode_cursor("no-uuid"), encode_cursor(ID, ID), "e30", "WzFd", "A" * 600]
)
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        decode_cursor(cursor)


def test_a_cursor_gives_back_what_it_was_given() -> None:
    parts = ("2026-11-23T08:15:30.123456Z", "-7", ID, "any; text")
    assert decode_cursor(encode_cursor(*parts), "time", "int", "id", "text") == parts
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor("2026-11-23T08:15:30", 1), "time", "int")
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor("a\x00"), "text")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ('{"name": "a", "name": "b"}', ["body", "name"]),
        ('{"name": "a", "n\\u0061me": "a"}', ["body", "name"]),
        ('{"name": "a", "steps": [{"name": "b"}, {"name": "c", "name": "d"}]}', ["body", "steps", 1, "name"]),
        ('{"name": "a", "env": {"X": "1", "Y": "2", "X": "3"}}', ["body", "env", "X"]),
    ],
)
async def test_a_key_that_is_given_twice_is_named(client: Client, body: str, loc: list[str | int]) -> None:
    response = await client.post("/api/v1/things", data=body)
    assert response.status == 422
    errors = (await response.json())["errors"]
    assert [(error["loc"], error["type"]) for error in errors] == [(loc, "repeated_key")]


async def test_the_same_key_in_several_objects_is_no_repetition(client: Client) -> None:
    body = r'[{"name": "{\"a\": 1, \"a\": 2}", "env": {"name": "x"}}, {"name": "name", "steps": [{"name": "name"}]}]'
    assert (await client.post("/api/v1/things/batch", data=body)).status == 201


@pytest.mark.parametrize(
    ("body", "status"), [("", 202), ("{}", 202), (" ", 202), ("{", 400), ("x=1", 400), ("[]", 422)]
)
async def test_a_post_that_takes_no_body_reads_it_all_the_same(client: Client, body: str, status: int) -> None:
    response = await client.post("/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab/wake", data=body)
    assert response.status == status


async def test_a_field_for_a_post_that_takes_none_is_refused(client: Client) -> None:
    response = await client.post("/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab/wake", json={"force": True})
    assert response.status == 422
    assert (await response.json())["errors"][0]["loc"] == ["body", "force"]
