"""Lines and what is kept of them, and what an agent remembers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import LogLine
from worker_manager.agent.lines import CONTINUED, MAX_LINE, LineSplitter
from worker_manager.agent.memory import Memory
from worker_manager.agent.output import BACKLOG_BYTES, CHUNK_BYTES, LINE_COST, Output
from worker_manager.agent.prefetch import Prefetch


def split(*reads: bytes) -> list[str]:
    splitter = LineSplitter()
    lines = [line for read in reads for line in splitter.feed(read)]
    return lines + splitter.flush()


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


def test_what_is_no_text_is_replaced() -> None:
    assert split(b"a\xff\0b\n") == ["a\ufffd\ufffdb"]


def test_a_long_line_is_cut_into_marked_pieces() -> None:
    pieces = split(b"x" * (2 * MAX_LINE + 5) + b"\n")
    assert [len(piece) for piece in pieces] == [MAX_LINE + 1, MAX_LINE + 1, 5]
    assert [piece.endswith(CONTINUED) for piece in pieces] == [True, True, False]


def test_a_long_line_is_not_cut_within_a_character() -> None:
    pieces = split(("é" * MAX_LINE).encode() + b"\nend\n")
    assert "".join(piece.removesuffix(CONTINUED) for piece in pieces[:-1]) == "é" * MAX_LINE
    assert "\ufffd" not in "".join(pieces)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0")), st.lists(st.integers(0, 200)))
def test_however_it_is_read_the_lines_are_the_same(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reads = [data[a:b] for a, b in pairwise(places)]
    expected = text.removesuffix("\n").split("\n") if text else []
    assert split(*reads) == expected


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
    missing = int(said[1].split("(")[1].split()[0])
    assert abs(101 + len(kept) + missing - 100_000) <= 3


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
