"""The AsyncAPI document holds together, covers the catalogue, and says of events what they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from jsonschema import Draft7Validator
from pydantic import AwareDatetime, BaseModel
from typing_extensions import TypeAliasType

from docs import asyncapi
from schemas.cloudevents import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, encode, encode_batch, wrap
from schemas.events import EVENT_TYPES, EventData, LogChunk
from schemas.params import ParamSpec
from schemas.subjects import NOT_ON_FEED, REPORTS, Catalogue

DOCUMENT: dict[str, Any] = json.loads(asyncapi.document())
CHANNELS: dict[str, Any] = DOCUMENT["channels"]
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def inside(value: object) -> Iterator[dict[str, Any]]:
    """Every object of the document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def at(reference: str) -> Any:
    """What a `$ref` points at. Raises KeyError."""
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def example(kind: Any, *, full: bool) -> Any:
    """A value of this type: with everything that it may have, or with nothing that it need not."""
    if isinstance(kind, TypeAliasType):
        kind = kind.__value__
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return example(arguments[0], full=full)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return None if type(None) in arguments and not full else example(arguments[0], full=full)
    if origin is list:
        return [example(arguments[0], full=full)]
    if origin is dict:
        return {example(arguments[0], full=full): example(arguments[1], full=full)}
    if kind is ParamSpec:  # its fields depend on each other
        return ParamSpec(type="choice", choices=["a"], default="a", description="A_text")
    if issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return kind.model_validate(
            {name: example(info.annotation, full=full) for name, info in fields if full or info.is_required()}
        )
    if issubclass(kind, Enum):
        return next(iter(kind))
    return {str: "A_text", int: 1, float: 1.5, bool: True, AwareDatetime: datetime.now(UTC)}[kind]


def event(model: type[EventData], *, full: bool) -> Any:
    data = example(model, full=full)
    return wrap(data, id="1", source="/hodei/test", time=datetime.now(UTC), traceparent=TRACEPARENT if full else None)


def faults(channel: str, raw: bytes) -> list[str]:
    """What the channel's message says against a payload."""
    [message] = CHANNELS[channel]["messages"].values()
    schema = {**at(message["$ref"])["payload"], "components": DOCUMENT["components"]}
    return [error.message for error in Draft7Validator(schema).iter_errors(json.loads(raw))]


def bus_channel(model: type[EventData]) -> str:
    return "logs" if model is LogChunk else f"bus.{model.event_type}"


def test_every_reference_points_at_something() -> None:
    references = {one["$ref"] for one in inside(DOCUMENT) if "$ref" in one}
    assert len(references) > 100
    for reference in references:
        assert isinstance(at(reference), dict), reference


def test_it_has_what_an_asyncapi_3_document_must_have() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert all({"host", "protocol"} <= set(server) for server in DOCUMENT["servers"].values())
    for name, channel in CHANNELS.items():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {})), name
        assert channel["messages"], name
    assert set(DOCUMENT["operations"]) == set(CHANNELS)
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] == "send"
        assert at(operation["channel"]["$ref"]) is CHANNELS[name]
        assert [at(one["$ref"]) for one in operation["messages"]] == list(CHANNELS[name]["messages"].values())
    names = [name for part in DOCUMENT["components"].values() for name in part]
    assert all(re.fullmatch(r"[a-zA-Z0-9.\-_]+", name) for name in [*names, *CHANNELS])
    for message in DOCUMENT["components"]["messages"].values():
        assert {"name", "contentType", "headers", "payload"} <= set(message)


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_an_event_type_has_its_subjects(event_type: str) -> None:
    catalogue = Catalogue()
    expected = {
        (catalogue.event(event_type), BATCH_CONTENT_TYPE),
        (catalogue.feed(event_type, "{id}"), EVENT_CONTENT_TYPE),
    }
    if event_type in REPORTS:
        expected.add((catalogue.report(event_type, "{worker_id}"), BATCH_CONTENT_TYPE))
    if event_type.partition(".")[0] in NOT_ON_FEED:
        expected = {(catalogue.event(event_type), BATCH_CONTENT_TYPE)}
    if event_type == LogChunk.event_type:
        expected = {(catalogue.logs("{execution_id}", "{worker_id}"), BATCH_CONTENT_TYPE)}
    found = {
        (channel["address"], at(message["$ref"])["contentType"])
        for channel in CHANNELS.values()
        for message in channel["messages"].values()
        if at(message["$ref"])["name"] == f"hodei.{event_type}.v{EVENT_TYPES[event_type].version}"
    }
    assert found == expected


@pytest.mark.parametrize("full", [True, False], ids=["full", "sparse"])
@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_an_event_is_what_the_document_says(event_type: str, full: bool) -> None:
    model = EVENT_TYPES[event_type]
    one = event(model, full=full)
    assert faults(bus_channel(model), encode_batch([one, one])) == []
    if model is not LogChunk and event_type.partition(".")[0] not in NOT_ON_FEED:
        assert faults(f"feed.{event_type}", encode(one)) == []


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_what_lacks_a_field_or_is_of_another_type_is_not(event_type: str) -> None:
    model = EVENT_TYPES[event_type]
    [whole] = json.loads(encode_batch([event(model, full=True)]))
    for field in (name for name, info in model.model_fields.items() if info.is_required()):
        data = {name: value for name, value in whole["data"].items() if name != field}
        assert faults(bus_channel(model), json.dumps([{**whole, "data": data}]).encode()), field
    assert faults(bus_channel(model), json.dumps([{**whole, "type": "hodei.other.v1"}]).encode())
    assert faults(bus_channel(model), json.dumps(whole).encode()), "the bus carries batches"
