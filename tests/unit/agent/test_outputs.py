"""What a process may write to $HODEI_OUTPUT, and what its agent makes of it."""

from __future__ import annotations

import os
import random
import re
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.model import on_one_line
from schemas.outputs import MAX_OUTPUTS, NAME
from worker_manager.agent.output_files import OutputFiles
from worker_manager.agent.outputs import NOTHING, Written, parse
from worker_manager.agent.process import MachineFailed
from worker_manager.agent.scratch import Scratch

NAMES = st.from_regex(f"{NAME}", fullmatch=True).filter(str.isascii)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"))
VALUES = st.lists(TEXT, min_size=1, max_size=4).map("\n".join)


def written(outputs: list[tuple[str, str]], *, ends: random.Random) -> bytes:
    """A file with these outputs: those of several lines as blocks, the others as either; with LF or CRLF."""
    lines: list[str] = []
    for name, value in outputs:
        if "\n" in value or ends.random() < 0.3:
            end = "END"
            while end in value.split("\n"):
                end += "_"
            lines += [f"{name}<<{end}", *value.split("\n"), end]
        else:
            lines.append(f"{name}={value}")
        lines += [""] * ends.choice((0, 0, 2))
    text = "".join(line + ends.choice(("\n", "\r\n")) for line in lines)
    return (text.rstrip("\r\n") if lines and lines[-1] and ends.random() < 0.5 else text).encode()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.randoms())
def test_what_is_written_is_read_and_the_last_of_a_name_counts(
    outputs: list[tuple[str, str]], ends: random.Random
) -> None:
    assert parse(written(outputs, ends=ends)) == Written(dict(outputs))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.randoms())
@example([("A", "1")], random.Random(1))
def test_a_bad_line_is_named_and_what_stands_before_it_is_kept(
    outputs: list[tuple[str, str]], ends: random.Random
) -> None:
    before = written(outputs, ends=ends)
    before += b"" if before.endswith(b"\n") or not before else b"\n"
    found = parse(before + b"not this\nB=2\n")
    number = before.count(b"\n") + 1
    assert found.outputs == dict(outputs)
    assert found.fault == f"line {number} of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: not this"


@given(st.binary())
def test_whatever_stands_there_has_valid_names_or_one_line_of_fault(data: bytes) -> None:
    found = parse(data)
    assert all(re.fullmatch(NAME, name) and "\0" not in value for name, value in found.outputs.items())
    assert found.fault is None or (on_one_line(found.fault) == found.fault and len(found.fault) < 200)


@pytest.mark.parametrize(
    ("data", "outputs", "fault"),
    [
        (b"A=1\nB", {"A": "1"}, "line 2 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: B"),
        (b"1A=x", {}, "line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: 1A=x"),
        (b"A = x", {}, "line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: A = x"),
        (b"A" * 101 + b"=x", {}, "line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: " + "A" * 79 + "…"),
        ("É=x".encode(), {}, "line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: É=x"),
        (b"\x1b[31mA=x\r", {}, r"line 1 of $HODEI_OUTPUT is neither NAME=value nor NAME<<END: \x1b[31mA=x"),
        (b"\nA=\xff", {}, r"line 2 of $HODEI_OUTPUT is not UTF-8: A=\xff"),
        (b"A=1\0", {}, r"line 1 of $HODEI_OUTPUT has a NUL character: A=1\x00"),
        (b"A<<END\n\0\nEND", {}, r"line 2 of $HODEI_OUTPUT has a NUL character: \x00"),
        (b"B=1\nA<<END\nx\n END\n", {"B": "1"}, "line 2 of $HODEI_OUTPUT begins a block without an end: A<<END"),
        (b"A<<\nx\n\n", {}, "line 1 of $HODEI_OUTPUT begins a block and does not name its end: A<<"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_one_line(data: bytes, outputs: dict[str, str], fault: str) -> None:
    assert parse(data) == Written(outputs, fault)


def test_values_are_taken_as_they_are() -> None:
    data = b"A= x = y \nB=\nC<<E F\n\n=\nA=9\n\nE F\r\n\r\n_d9=$(rm)<<END"
    assert parse(data) == Written({"A": " x = y ", "B": "", "C": "\n=\nA=9\n", "_d9": "$(rm)<<END"})


@pytest.fixture
def files(tmp_path: Path) -> OutputFiles:
    scratch = Scratch(tmp_path / "scratch")
    files = OutputFiles(tmp_path / "outputs", scratch.discard)
    files.open()
    return files


def test_a_file_is_read_and_removed_and_none_is_made(files: OutputFiles, tmp_path: Path) -> None:
    file = Path(files.path("e"))
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert files.collect("e") is NOTHING
    file.write_text("A=1\n")
    Path(files.path("other")).write_text("B=2\n")
    assert files.collect("e") == Written({"A": "1"})
    assert os.listdir(tmp_path / "outputs") == ["other"]
    files.close()
    assert not (tmp_path / "outputs").exists()


def test_what_a_killed_agent_left_is_removed_at_the_next_start(files: OutputFiles, tmp_path: Path) -> None:
    Path(files.path("e"), "deep").mkdir(parents=True)
    Path(files.path("f")).write_text("A=1\n")
    OutputFiles(tmp_path / "outputs", lambda _: None).open()
    assert os.listdir(tmp_path / "outputs") == []


@pytest.mark.parametrize(
    ("size", "fault"),
    [(MAX_OUTPUTS, None), (MAX_OUTPUTS + 1, "65,537 bytes"), (10 << 30, "10,737,418,240 bytes")],
    ids=["as large as may be", "a byte more", "sparse"],
)
def test_a_file_has_64_kib_at_most(files: OutputFiles, size: int, fault: str | None) -> None:
    path = files.path("e")
    with open(path, "wb") as file:
        file.write(b"A=" + b"x" * (MAX_OUTPUTS - 3) + b"\n")
        file.truncate(size)
    found = files.collect("e")
    if fault is None:
        assert found == Written({"A": "x" * (MAX_OUTPUTS - 3)})
    else:
        assert found == Written({}, f"$HODEI_OUTPUT has {fault}; the outputs of a step have at most 65,536")
    assert not os.path.exists(path)


def test_a_file_that_is_still_written_is_read_no_further(files: OutputFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.path("e")
    Path(path).write_text("A=1\n")
    monkeypatch.setattr(os, "read", lambda _fd, most: b"x" * min(most, 10_000))
    assert files.collect("e").fault == "$HODEI_OUTPUT has 65,537 bytes; the outputs of a step have at most 65,536"


def link(path: str) -> None:
    Path(path + "-target").write_text("A=1\n")
    os.symlink(path + "-target", path)


def listen(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        os.close(folder)


def device(path: str) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("needs to be allowed to make a device")


@pytest.mark.parametrize("make", [link, os.mkfifo, os.mkdir, listen, device], ids=lambda make: make.__name__)
def test_what_is_no_file_is_neither_followed_nor_waited_for(files: OutputFiles, make: object, tmp_path: Path) -> None:
    path = files.path("e")
    make(path)  # type: ignore[operator]
    assert files.collect("e") == Written({}, "$HODEI_OUTPUT is not a regular file")
    files.close()
    assert not (tmp_path / "outputs").exists()


def test_a_file_that_is_exchanged_while_it_is_looked_at_is_not_followed(
    files: OutputFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.path("e")
    link(path)
    target = os.stat(path)
    monkeypatch.setattr(os, "lstat", lambda _path: target)  # a regular file, until a moment ago
    assert files.collect("e").fault == "$HODEI_OUTPUT cannot be read: Too many levels of symbolic links"
    os.mkfifo(path)
    assert files.collect("e").fault == "$HODEI_OUTPUT is not a regular file"


def test_a_file_that_cannot_be_read_is_a_fault_and_one_that_vanishes_is_one(
    files: OutputFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.path("e")
    Path(path).write_text("A=1\n")
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied", path)

        patch.setattr(os, "open", refuse)
        assert files.collect("e").fault == "$HODEI_OUTPUT cannot be read: Permission denied"
    assert not os.path.exists(path)


@pytest.mark.parametrize("harm", ["removed", "closed", "a link", "a file"])
def test_a_folder_that_a_command_harmed_is_made_again(files: OutputFiles, harm: str, tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    if harm == "closed":
        root.chmod(0)
    else:
        root.rmdir()
    if harm == "a link":
        root.symlink_to(tmp_path)
    elif harm == "a file":
        root.write_text("")
    Path(files.path("e")).write_text("A=1\n")
    assert files.collect("e") == Written({"A": "1"})
    assert root.is_dir()
    assert not root.is_symlink()


def test_where_no_folder_can_be_made_the_machine_is_at_fault(
    files: OutputFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outputs").rmdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(MachineFailed, match="no folder for outputs can be made: No space left on device"):
        files.path("e")
