"""Packed texts: smaller, whole when they are unpacked, and readable by every later version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.packing import DICTIONARY_LIMIT, Packing

FIRST = b'{"type":"tasks.succeeded","time":"","data":{"task_id":"","attempt":1}}'
TEXT = '{"type":"tasks.succeeded","time":"now","data":{"task_id":"t-1","attempt":1}}'


@given(text=st.text(max_size=20_000), context=st.text(max_size=200))
def test_every_text_comes_back(text: str, context: str) -> None:
    packing = Packing([FIRST])
    assert packing.unpack(packing.pack(text, context), context) == text.encode()


def test_what_the_dictionary_and_the_context_have_takes_no_room() -> None:
    packing = Packing([FIRST])
    assert len(packing.pack(TEXT)) < len(TEXT) / 3
    ids = "01a22592-4351-7063-a346-98b5ea7783b6", "01a22592-4332-746b-8049-690457568262"
    assert len(packing.pack("".join(ids), *ids)) < 16


def test_a_text_larger_than_the_window_comes_back() -> None:
    packing = Packing([b"x" * DICTIONARY_LIMIT])
    text = "".join(f'{{"n":{n},"word":"{"y" * (n % 50)}"}}' for n in range(20_000)).encode()
    assert packing.unpack(packing.pack(text)) == text


def test_a_later_version_with_a_further_dictionary_reads_what_an_earlier_one_packed() -> None:
    earlier, later = Packing([FIRST]), Packing([FIRST, b"a better one"])
    assert later.unpack(earlier.pack(TEXT)) == TEXT.encode()
    with pytest.raises(ValueError, match="dictionary 2, which this version does not have"):
        earlier.unpack(later.pack(TEXT))


def test_a_damaged_text_is_an_error() -> None:
    packing = Packing([FIRST])
    packed = packing.pack(TEXT)
    for damaged, words in (
        (b"", "dictionary 0"),
        (packed[:-1], "its end is missing"),
        (packed[:1] + b"\xff", "damaged"),
    ):
        with pytest.raises(ValueError, match=words):
            packing.unpack(damaged)


def test_a_dictionary_that_does_not_fit_into_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 3000 bytes"):
        Packing([b"x" * (DICTIONARY_LIMIT + 1)])
