"""The events as an AsyncAPI 3.0 document, for tools: what `docs/events.md` says to people.

Every channel is one of the catalogue's subjects (`schemas.subjects`), every payload the schema of the very model that
prints it (`schemas.events`) in the envelope of `schemas.cloudevents`. The document describes what the
platform publishes; other programs do not publish on these subjects.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.cloudevents import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, type_name
from schemas.events import EVENT_TYPES, EventData, LogChunk
from schemas.subjects import EVENTS, LOGS, NOT_ON_FEED, REPORTS, Catalogue

Json = dict[str, Any]

ASYNCAPI: Final = "3.0.0"
VERSION: Final = "1.0.0"
"""Of the document: its major number counts up with the first event type that gets a second version."""
_SCHEMAS: Final = "#/components/schemas/"
_ABOUT: Final = """\
What happens on the platform, over NATS. `hodei` at the beginning of each subject is the namespace (`HODEI_NAMESPACE`).

The *bus* has one subject for each type, each message a batch of one or more events, on the JetStream stream \
`hodei-events`, which can be replayed. The *feed* says the same events one by one on core NATS, with the id in the \
subject, and may lag under load. An execution's output is on `hodei.logs.<execution id>.<worker id>`, on the stream \
`hodei-logs`. The reports of workers are on subjects that end with the worker's id; on the same subjects without it, \
services publish reports again that others have missed.

Event types only ever gain optional fields; anything else is a new version of the type. Deliveries may repeat: the \
event's `id` does not change. Members that are null are left out."""


def document() -> str:
    """The document as JSON, one member a line."""
    channels: Json = {}
    messages: Json = {}
    for event_type, model in sorted(EVENT_TYPES.items()):
        logs = model is LogChunk
        channels |= _log_channel() if logs else _event_channels(event_type)
        messages[f"{event_type}.batch"] = _message(event_type, model, batch=True)
        if not logs and event_type.partition(".")[0] not in NOT_ON_FEED:
            messages[event_type] = _message(event_type, model, batch=False)
    whole = {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Hodei Jobs: events",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": BATCH_CONTENT_TYPE,
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "What `NATS_URL` names."}},
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {"messages": messages, "schemas": _schemas()},
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _event_channels(event_type: str) -> Json:
    subjects, [plural, verb] = Catalogue(), event_type.split(".")
    by_agents: Json = {}
    if event_type in REPORTS:
        by_agents[f"bus.{event_type}.worker"] = {
            "address": subjects.report(event_type, "{worker_id}"),
            "description": f"On the stream `{subjects.stream(EVENTS)}`. The worker's agent publishes it.",
            "parameters": {"worker_id": {"description": "The id of the worker whose report this is."}},
            "messages": {"batch": {"$ref": f"#/components/messages/{event_type}.batch"}},
        }
    channels: Json = {
        **by_agents,
        f"bus.{event_type}": {
            "address": subjects.event(event_type),
            "description": f"On the stream `{subjects.stream(EVENTS)}`.",
            "messages": {"batch": {"$ref": f"#/components/messages/{event_type}.batch"}},
        },
        f"feed.{event_type}": {
            "address": subjects.feed(event_type, "{id}"),
            "description": f"`{subjects.feed(event_type, '*')}` is all {plural} {verb.replace('_', ' ')}.",
            "parameters": {"id": {"description": "The id of what the event speaks of: its `subject`."}},
            "messages": {"event": {"$ref": f"#/components/messages/{event_type}"}},
        },
    }
    if plural in NOT_ON_FEED:
        del channels[f"feed.{event_type}"]
    return channels


def _log_channel() -> Json:
    subjects = Catalogue()
    return {
        "logs": {
            "address": subjects.logs("{execution_id}", "{worker_id}"),
            "description": f"On the stream `{subjects.stream(LOGS)}`.",
            "parameters": {
                "execution_id": {"description": "The id of the execution whose output this is."},
                "worker_id": {"description": "The id of the worker that it runs on."},
            },
            "messages": {"batch": {"$ref": f"#/components/messages/{LogChunk.event_type}.batch"}},
        }
    }


def _operation(name: str, channel: Json) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in channel["messages"]],
    }


def _message(event_type: str, model: type[EventData], *, batch: bool) -> Json:
    about = " ".join((model.__dict__.get("__doc__") or "").split())
    return {
        "name": type_name(model),
        "title": f"{event_type}, {'a batch' if batch else 'one event'}",
        **({"description": about} if about else {}),
        "contentType": BATCH_CONTENT_TYPE if batch else EVENT_CONTENT_TYPE,
        "headers": {"$ref": f"{_SCHEMAS}{'BatchHeaders' if batch else 'EventHeaders'}"},
        "payload": {"$ref": f"{_SCHEMAS}{model.__name__}{'Batch' if batch else 'Event'}"},
    }


def _schemas() -> Json:
    """The models' own schemas, the envelope, and each event in it."""
    # As they are read, not as they are printed: what is null is left out, and so is not required.
    kinds = sorted(EVENT_TYPES.values(), key=lambda model: model.__name__)
    _, found = models_json_schema([(model, "validation") for model in kinds], ref_template=_SCHEMAS + "{model}")
    schemas: Json = {**found["$defs"], **_ENVELOPE}
    for model in kinds:
        schemas[f"{model.__name__}Event"] = {
            "allOf": [
                {"$ref": f"{_SCHEMAS}CloudEvent"},
                {"properties": {"type": {"const": type_name(model)}, "data": {"$ref": _SCHEMAS + model.__name__}}},
            ]
        }
        schemas[f"{model.__name__}Batch"] = {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": f"{_SCHEMAS}{model.__name__}Event"},
        }
    return dict(sorted(schemas.items()))


_TRACEPARENT: Final[Mapping[str, str]] = {
    "type": "string",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "description": "The W3C trace that this belongs to, if there is one.",
}


def _headers(msg_id: str, content_type: str) -> Json:
    """The headers of a message; `msg_id` says what its `Nats-Msg-Id` is."""
    return {
        "type": "object",
        "required": ["Nats-Msg-Id", "Content-Type"],
        "properties": {
            "Nats-Msg-Id": {"type": "string", "description": msg_id},
            "Content-Type": {"const": content_type},
            "traceparent": _TRACEPARENT,
        },
    }


_ENVELOPE: Final[Mapping[str, Json]] = {
    "CloudEvent": {
        "type": "object",
        "description": "The envelope: CloudEvents 1.0 in JSON.",
        "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1, "description": "The same however often the event is delivered."},
            "source": {"type": "string", "format": "uri-reference", "description": "Who says it: /hodei/scheduler."},
            "type": {"type": "string", "description": "The type and its version: hodei.tasks.queued.v1."},
            "subject": {"type": "string", "minLength": 1, "description": "The id of what the event speaks of."},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "traceparent": _TRACEPARENT,
            "data": {"type": "object"},
        },
    },
    "BatchHeaders": _headers("By which the stream drops what it has already.", BATCH_CONTENT_TYPE),
    "EventHeaders": _headers("The event's `id`.", EVENT_CONTENT_TYPE),
}
