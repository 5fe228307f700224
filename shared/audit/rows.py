"""Rows of the audit log, made from a call: pure functions, no I/O."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from schemas.events import EventData
from schemas.ids import is_id
from schemas.rest.audit import AuditOutcome, plain_address
from shared.access import Call
from shared.ids import new_id

NAMING: Final = frozenset({"created", "requested", "registered", "deleted"})
"""The verbs of events whose entity is named in the row: the path does not name what is made, nor each of many that are
deleted."""

LONGEST_ID: Final = 40
LONGEST_METHOD: Final = 20
"""Most characters that a row keeps of what strangers choose: a method, and an id in a path that is not a UUID."""

_address: Final = lru_cache(maxsize=1024)(plain_address)
_OWN_REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}")


class Row(NamedTuple):
    """One row as it is inserted, in the order of the arguments of `record_call`. `entity` and `entities` are UUIDs,
    `name` is another id."""

    id: str
    outcome: str
    token_id: str | None
    token_name: str | None
    address: str | None
    method: str
    route: str
    entity: str | None
    entities: list[str] | None
    name: str | None
    request: str | None
    request_text: str | None
    repeats: int | None = None


def row_of(call: Call, outcome: AuditOutcome, entities: Iterable[str] = ()) -> Row:
    """The row of a call about these entities."""
    ids, name = _split(entities)
    made_here = _made_here(call.request_id)
    who = call.principal
    return Row(
        id=new_id(),
        outcome=outcome,
        token_id=None if who is None else who.id,
        token_name=None if who is None else who.name,
        address=_address(call.address),
        method=call.method[:LONGEST_METHOD],
        route=call.route,
        entity=ids[0] if ids else None,
        entities=ids[1:] or None,
        name=name,
        request=call.request_id if made_here else None,
        request_text=None if made_here else call.request_id,
    )


def entry_of(call: Call, outcome: AuditOutcome, entities: Iterable[str] = ()) -> str:
    """The row that `row_of` makes, as a JSON object by the columns of the table, for `json_populate_record`. It is on
    the path of every submission, so the JSON of the values that a client's calls share is made once."""
    ids, name = _split(entities)
    own: dict[str, str | list[str]] = {
        "id": new_id(),
        "outcome": outcome,
        "request" if _made_here(call.request_id) else "request_text": call.request_id,
    }
    if ids:
        own["entity"] = ids[0]
        if len(ids) > 1:
            own["entities"] = ids[1:]
    if name is not None:
        own["name"] = name
    who = call.principal
    token = (None, None) if who is None else (who.id, who.name)
    return f"{_in_common(*token, call.address, call.method, call.route)},{orjson.dumps(own).decode()[1:]}"


@lru_cache(maxsize=1024)
def _in_common(token_id: str | None, token_name: str | None, address: str, method: str, route: str) -> str:
    """The JSON of the values that such calls share, without the closing brace."""
    values = {
        "token_id": token_id,
        "token_name": token_name,
        "address": _address(address),
        "method": method[:LONGEST_METHOD],
        "route": route,
    }
    return orjson.dumps(values).decode()[:-1]


def _split(entities: Iterable[str]) -> tuple[list[str], str | None]:
    """The UUIDs among the ids of entities, and the first of the others."""
    ids: list[str] = []
    name = None
    for one in entities:
        if is_id(one):
            ids.append(one)
        else:
            name = name or one[:LONGEST_ID]
    return ids, name


def _made_here(request_id: str) -> bool:
    return _OWN_REQUEST_ID.fullmatch(request_id) is not None


def in_path(call: Call) -> list[str]:
    """The ids in a call's path: those of path parameters called `id` or ending in `_id`."""
    if "{" not in call.route:
        return []
    parts = zip(call.route.split("/"), call.path.split("/"), strict=False)
    return [part.lower() for name, part in parts if name == "{id}" or (name[:1] == "{" and name.endswith("_id}"))]


@lru_cache(maxsize=256)  # there are fewer types of events
def _names(event_type: str) -> bool:
    """Whether events of this type name their entity."""
    return event_type.rpartition(".")[2] in NAMING


def named_by(events: Iterable[EventData]) -> dict[str, None]:
    """The ids of what these events create or delete, and of the jobs that they belong to, in their order."""
    ids: dict[str, None] = {}
    for event in events:
        if _names(event.event_type):
            ids[event.entity_id()] = None
        job_id = getattr(event, "job_id", None)
        if job_id is not None:
            ids[job_id] = None
    return ids
