"""Merging outbox rows: nothing lost, nothing repeated, nothing overtakes what it must not."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.outbox.messages import Message, Row, compose, flight

TYPES = ("tasks.queued", "tasks.cancel_requested", "jobs.created")


def row(id: int, event_type: str, *entities: str, relay: str = "r", traceparent: str | None = None) -> Row:
    payload = orjson.dumps([{"subject": entity, "row": id} for entity in entities])
    return Row(id, relay, event_type, len(entities), frozenset(entities), traceparent, payload)


@st.composite
def queues(draw: st.DrawFn) -> list[Row]:
    shapes = draw(st.lists(st.tuples(st.sampled_from(TYPES), st.sets(st.sampled_from("abcd"), min_size=1, max_size=3))))
    return [row(number, kind, *sorted(entities)) for number, (kind, entities) in enumerate(shapes, 1)]


def drained(rows: list[Row], limit: int) -> list[Message]:
    sent: list[Message] = []
    while rows:
        messages, rows = compose(rows, limit=limit)
        assert messages, "a round that sends nothing would never end"
        sent.extend(messages)
    return sent


@given(queues(), st.integers(1, 400))
def test_every_row_is_sent_exactly_once(rows: list[Row], limit: int) -> None:
    sent = [one.id for message in drained(rows, limit) for one in message.rows]
    assert sorted(sent) == [one.id for one in rows]


@given(queues(), st.integers(1, 400))
def test_rows_of_one_type_keep_their_order(rows: list[Row], limit: int) -> None:
    sent = [one for message in drained(rows, limit) for one in message.rows]
    for kind in TYPES:
        ids = [one.id for one in sent if one.event_type == kind]
        assert ids == sorted(ids)


@given(queues(), st.integers(1, 400))
def test_rows_about_one_entity_keep_their_order_across_types(rows: list[Row], limit: int) -> None:
    sent = [one for message in drained(rows, limit) for one in message.rows]
    for entity in "abcd":
        ids = [one.id for one in sent if entity in one.entities]
        assert ids == sorted(ids)


@given(queues(), st.sets(st.sampled_from(TYPES)))
def test_a_busy_type_is_not_sent(rows: list[Row], busy: set[str]) -> None:
    messages, waiting = compose(rows, busy=busy)
    assert not busy & {message.event_type for message in messages}
    assert sum(len(message.rows) for message in messages) + len(waiting) == len(rows)


@given(queues())
def test_a_merged_payload_is_the_rows_arrays_as_one(rows: list[Row]) -> None:
    for message in compose(rows)[0]:
        parts = [event for one in message.rows for event in orjson.loads(one.payload)]
        assert orjson.loads(message.payload) == parts
        assert message.events == len(parts)


def test_different_rows_between_the_same_ends_have_different_message_ids() -> None:
    first, second, third = (row(number, "tasks.queued", "a") for number in (1, 2, 3))
    sparse = Message("tasks.queued", [first, third])
    dense = Message("tasks.queued", [first, second, third])
    assert sparse.msg_id("s") != dense.msg_id("s")
    assert sparse.msg_id("s").startswith("s-1-3-")
    assert sparse.msg_id("s") == Message("tasks.queued", [first, third]).msg_id("s")


def test_the_same_numbers_in_a_new_database_have_another_message_id() -> None:
    ours, theirs = (Message("tasks.queued", [row(1, "tasks.queued", "a", relay=relay)]) for relay in "rq")
    assert ours.msg_id("s") != theirs.msg_id("s")


def test_a_message_of_several_traces_claims_none() -> None:
    one, same, other = (row(number, "t", "a", traceparent=trace) for number, trace in ((1, "x"), (2, "x"), (3, "y")))
    assert Message("t", [one, same]).traceparent == "x"
    assert Message("t", [one, same, other]).traceparent is None


@given(queues())
def test_what_flies_together_speaks_of_different_entities_and_all_goes_in_order(rows: list[Row]) -> None:
    sent: list[Row] = []
    waiting = rows
    while waiting:
        messages, waiting = flight(waiting)
        assert messages, "a round that sends nothing would never end"
        spoken = [frozenset().union(*(one.entities for one in message.rows)) for message in messages]
        assert sum(map(len, spoken)) == len(frozenset().union(*spoken))
        assert len({message.event_type for message in messages}) == len(messages)
        sent.extend(one for message in messages for one in message.rows)
    assert sorted(one.id for one in sent) == [one.id for one in rows]
    for entity in "abcd":
        ids = [one.id for one in sent if entity in one.entities]
        assert ids == sorted(ids)
    for kind in TYPES:
        ids = [one.id for one in sent if one.event_type == kind]
        assert ids == sorted(ids)
