"""Lines and what is kept of them, and what an agent remembers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import LogLine
from schemas.output import written
from shared.clock import now
from worker_manager.agent.lines import MAX_LINE, LineSplitter
from worker_manager.agent.memory import Memory
from worker_manager.agent.output import BACKLOG_BYTES, CHUNK_BYTES, LINE_COST, Output
from worker_manager.agent.prefetch import Prefetch


def pieces(*reads: bytes) -> list[LogLine]:
    splitter = LineSplitter("stdout")
    lines = [line for read in reads for line in splitter.feed(read, now())]
    return lines + splitter.flush(now())


def split(*reads: bytes) -> list[str]:
    return [piece.message for piece in pieces(*reads)]


def bytes_of(lines: Iterable[LogLine], stream: str = "stdout") -> bytes:
    return b"".join(written(line) for line in lines if line.stream == stream)


def everything(output: Output) -> list[LogLine]:
    lines: list[LogLine] = []
    while taken := output.take():
        lines += taken
    return lines


def messages(output: Output) -> list[str]:
    return [line.message for line in everything(output)]


def test_lines_end_at_newlines_wherever_reads_end() -> None:
    assert split(b"a\nb", b"c\n\nd") == ["a", "bc", "", "d"]
    assert split(b"a\n") == ["a"]
    assert split() == []


def test_carriage_returns_before_a_newline_go() -> None:
    assert split(b"a\r\nb\rc\r", b"\n") == ["a", "b\rc"]


def test_a_character_may_be_read_in_two_parts() -> None:
    assert split("é".encode()[:1], "é".encode()[1:] + b"\n") == ["é"]


def test_what_is_no_text_is_replaced_with_its_bytes_beside() -> None:
    [line] = pieces(b"a\xff\0b\n")
    assert (line.message, line.base64) == ("a\ufffd\ufffdb", "Yf8AYg==")
    [line] = pieces("a replacement \ufffd of the command's own\n".encode())
    assert line.base64 is None


def test_a_long_line_is_handed_on_in_pieces_without_a_change() -> None:
    long = b"x" * (2 * MAX_LINE + 5)
    for reads in ([long + b"\n"], [long, b"\n"], [b"before\n" + long, b"\nafter\n"]):
        lines = [line for line in pieces(*reads) if line.message.startswith("x") or line.message == ""]
        assert "".join(line.message for line in lines) == long.decode()
        assert [line.partial for line in lines] == [True] * (len(lines) - 1) + [None]
        assert max(len(line.message) for line in lines) <= MAX_LINE


def test_a_long_line_is_not_cut_within_a_character() -> None:
    lines = pieces(b"." + ("é" * MAX_LINE).encode() + b"\nend\n")
    assert "".join(line.message for line in lines[:-1]) == "." + "é" * MAX_LINE
    assert {line.base64 for line in lines} == {None}


def test_the_last_line_may_lack_its_end() -> None:
    assert [(line.message, line.partial) for line in pieces(b"a\nb")] == [("a", None), ("b", True)]


READS = st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"\r\n", b"\r", "é€😀".encode(), b"x" * 20_000]))


@given(READS, st.sets(st.integers(0, 30)))
def test_however_it_is_read_and_released_every_byte_is_there(reads: list[bytes], released: set[int]) -> None:
    splitter = LineSplitter("stdout")
    lines: list[LogLine] = []
    for number, data in enumerate(reads):
        lines += splitter.feed(data, now())
        if number in released:
            lines += splitter.release(math.inf, now())
    lines += splitter.flush(now())
    assert bytes_of(lines) == b"".join(reads)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0")), st.lists(st.integers(0, 200)))
def test_text_is_never_replaced_wherever_it_is_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter("stdout")
    lines: list[LogLine] = []
    for a, b in pairwise(places):
        lines += splitter.feed(data[a:b], now())
        lines += splitter.release(math.inf, now())
    lines += splitter.flush(now())
    assert {line.base64 for line in lines} <= {None}
    assert "".join(line.message + ("" if line.partial else "\n") for line in lines) == text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0")), st.lists(st.integers(0, 200)))
def test_however_it_is_read_the_lines_are_the_same(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    expected = text.removesuffix("\n").split("\n") if text else []
    assert split(*(data[a:b] for a, b in pairwise(places))) == expected


def test_a_line_without_its_end_is_released_when_it_is_old_enough() -> None:
    output = Output(1000)
    output.feed("stdout", b"done\nPassword: ")
    since = output.unfinished_since
    output.release(since - 1)
    assert messages(output) == ["done"]
    output.release(since)
    assert [(line.message, line.partial) for line in everything(output)] == [("Password: ", True)]
    assert output.unfinished_since == math.inf


def test_half_a_character_is_not_released() -> None:
    output = Output(1000)
    output.feed("stdout", b"caf\xc3")
    output.release(math.inf)
    assert (messages(output), output.unfinished_since) == (["caf"], math.inf)
    output.feed("stdout", b"\xa9")
    output.release(math.inf)
    assert messages(output) == ["é"]


@given(READS, st.integers(0, 30))
def test_output_below_the_limit_is_whole_even_if_its_end_was_held_back(reads: list[bytes], limit: int) -> None:
    fed = b"".join(reads)
    output = Output(2 * (len(fed) + LINE_COST * (len(fed) + 1) + 200 * len(reads)) // (1 + limit % 3) + 1)
    for read in reads:
        output.feed("stdout", read)
    output.close()
    lines = everything(output)
    if not output.truncated:
        assert bytes_of(lines) == fed
    assert {line.remark for line in lines} <= {None, "held_back", "left_out"}


def test_little_output_is_kept_whole() -> None:
    output = Output(1000)
    output.feed("stdout", b"one\ntw")
    output.feed("stderr", b"err\n")
    output.feed("stdout", b"o")
    output.close()
    assert [(line.stream, line.message) for line in everything(output)] == [
        ("stdout", "one"),
        ("stderr", "err"),
        ("stdout", "two"),
    ]
    assert not output.truncated
    assert output.empty


def test_much_output_keeps_head_and_tail_and_says_what_is_missing() -> None:
    output = Output(64 << 10)
    for number in range(100_000):
        output.feed("stdout", b"%d\n" % number)
        if number == 100:
            assert len(output.take()) == 101
    output.close()
    lines = everything(output)
    said = [line.message for line in lines if line.stream == "system"]
    kept = [line.message for line in lines if line.stream == "stdout"]
    assert kept[0] == "101"
    assert kept[-1] == "99999"
    assert output.truncated
    assert "left out here" in said[1]
    [gap] = [line.missing for line in lines if line.missing is not None]
    fed = b"".join(b"%d\n" % number for number in range(101, 100_000))
    assert len(bytes_of(lines)) + gap.bytes == len(fed)
    assert bytes_of(lines).count(b"\n") + gap.lines == fed.count(b"\n")


def test_empty_lines_are_not_free() -> None:
    output = Output(3300 * 2)
    output.feed("stdout", b"\n" * 1_000_000)
    assert len(messages(output)) <= 3300 // LINE_COST + 2


def test_single_bytes_do_not_fill_memory() -> None:
    output = Output(64 << 10)
    for _ in range(300_000):
        output.feed("stderr", b"x")
    assert output._tail is not None
    assert len(output._tail._blocks) < 100


def test_a_full_backlog_is_told_until_it_was_taken() -> None:
    output = Output(100 << 20)
    while not output.full:
        output.feed("stdout", b"x" * 1000 + b"\n")
    assert output.waiting < BACKLOG_BYTES + 2000
    assert sum(len(line.message) for line in output.take()) <= CHUNK_BYTES
    assert not output.full


def test_memory_is_bounded_in_size_and_in_time() -> None:
    memory: Memory[str] = Memory(2, seconds=10)
    for number in range(3):
        memory.put(str(number), "x", 0.0)
    assert "0" not in memory
    assert memory.pop("1", 5.0) == "x"
    assert memory.pop("1", 5.0) is None
    assert memory.pop("2", 11.0) is None


def _ended(prefetch: Prefetch, count: int, *, lasted: float, at: float = 10.0) -> None:
    for number in range(count):
        prefetch.completed(at + number / 1000, lasted)


def test_prefetch_is_what_the_slots_run_in_a_fifth_of_a_second() -> None:
    prefetch = Prefetch(256, slots=8)
    _ended(prefetch, 100, lasted=0.02)
    assert prefetch.room(10.1) == 80
    assert prefetch.room(10.5) == 0


def test_prefetch_does_not_ask_for_little_because_there_was_little() -> None:
    prefetch = Prefetch(256, slots=8)
    _ended(prefetch, 8, lasted=0.02)  # one for each slot, and then nothing came
    assert prefetch.room(10.1) == 64
    _ended(prefetch, 2, lasted=0.02, at=10.1)
    assert prefetch.room(10.15) == 80


def test_one_short_job_does_not_promise_hundreds() -> None:
    prefetch = Prefetch(256, slots=8)
    prefetch.completed(10.0, 0.001)
    assert prefetch.room(10.0) == 8


def test_long_work_is_never_prefetched() -> None:
    prefetch = Prefetch(256, slots=8)
    for second in range(10):
        for _ in range(8):  # that all end together makes them no shorter
            prefetch.completed(float(second), 1.0)
        assert prefetch.notable(float(second)) is None


def test_prefetch_is_capped() -> None:
    prefetch = Prefetch(256, slots=8)
    for number in range(5000):
        prefetch.completed(number / 5000, 0.001)
    assert prefetch.room(1.0) == 256


def test_only_notable_changes_are_told_and_old_offers_hold_for_a_while() -> None:
    prefetch = Prefetch(256, slots=8)
    _ended(prefetch, 100, lasted=0.016, at=0.0)
    assert prefetch.notable(0.1) == 100
    prefetch.offer(100, 0.1)
    _ended(prefetch, 20, lasted=0.012, at=0.1)
    assert prefetch.notable(0.12) is None
    assert prefetch.notable(1.0) == 0
    prefetch.offer(0, 1.0)
    assert prefetch.acceptable(2.0) == 100
    assert prefetch.acceptable(4.0) == 0
