"""Batches and dead letters stay within what a message may have, whatever JSON makes of their text."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent, decode_batch, encode_batches, travelling_bytes, wrap
from schemas.events import EventData, WorkerDraining, WorkerOffline
from shared.bus.dead_letters import LARGEST_LETTER, _as_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def events(sizes: list[int]) -> list[CloudEvent[EventData]]:
    data = [WorkerOffline(worker_id=str(number), detail="\x01" * size) for number, size in enumerate(sizes)]
    return [wrap(one, id="x", source="/hodei/test", time=NOW) for one in data]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(300, 5000))
def test_events_are_divided_into_batches_that_fit_in_their_order(sizes: list[int], limit: int) -> None:
    whole = events(sizes)
    batches = encode_batches(whole, limit=limit)
    assert [event for batch, _ in batches for event in batch] == whole
    assert all(len(payload) <= limit or len(batch) == 1 for batch, payload in batches)
    assert [len(decode_batch("workers.offline", payload)) for _, payload in batches] == [len(b) for b, _ in batches]


@pytest.mark.parametrize("byte", [b"x", b"\x01", b"\\", "é".encode(), b"\xff"])
def test_a_dead_letter_keeps_what_fits_as_json(byte: bytes) -> None:
    text = _as_text(byte * 1_000_000)
    size = len(orjson.dumps(text))
    assert LARGEST_LETTER * 0.9 < size <= LARGEST_LETTER


def test_what_an_event_takes_is_measured_as_it_travels() -> None:
    plain, escaped = (travelling_bytes(WorkerDraining(worker_id=letter * 100)) for letter in ("x", "\x01"))
    assert escaped - plain == 2 * 100 * 5  # once in the data, once as the event's subject
