"""Output is bytes, live: what a command writes is what its log holds, and soon, whether or not its lines end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.events import LogChunk, LogLine
from schemas.output import written
from schemas.specs import RunSpec
from tests.integration.agent.conftest import ControlPlane, Hire


def bytes_of(lines: list[LogLine], stream: str = "stdout") -> bytes:
    return b"".join(written(line) for line in lines if line.stream == stream)


async def test_a_prompt_is_shown_while_its_command_waits(control: ControlPlane) -> None:
    execution_id = await control.run("printf 'Password: '; printf 'really? ' >&2; sleep 600")
    await control.printed(execution_id, "Password: ")
    await control.printed(execution_id, "really? ")
    await control.stop(execution_id)
    lines = await control.log(execution_id)
    assert (bytes_of(lines), bytes_of(lines, "stderr")) == (b"Password: ", b"really? ")
    assert all(line.partial for line in lines)


async def test_each_frame_of_a_progress_bar_is_shown_in_order(control: ControlPlane, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    go = os.open(tmp_path / "go", os.O_RDWR)
    execution_id = await control.run(
        f"for i in 1 2 3; do printf '\\rprogress %s0%%' $i; read _ <{tmp_path}/go; done; echo"
    )
    for frame in ("10%", "20%", "30%"):  # the next is drawn when this one was seen
        await control.printed(execution_id, f"progress {frame}")
        os.write(go, b"on\n")
    lines = await control.log(execution_id)
    os.close(go)
    assert bytes_of(lines) == b"\rprogress 10%\rprogress 20%\rprogress 30%\n"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (r"printf 'a\377b\0c\r\nlast'", b"a\xffb\0c\r\nlast"),
        (r"printf '\n\n'", b"\n\n"),
        ("head -c 3000000 /dev/zero | tr '\\0' x", b"x" * 3_000_000),
        ("head -c 100000 /dev/zero | tr '\\0' x; echo", b"x" * 100_000 + b"\n"),
        ("head -c 300000 /dev/zero", bytes(300_000)),
    ],
    ids=["binary", "empty-lines", "3-million-x", "100-thousand-x", "zeros"],
)
async def test_a_log_holds_the_very_bytes(control: ControlPlane, script: str, expected: bytes) -> None:
    lines = await control.log(await control.run(RunSpec(command=script, type="bash")))
    assert bytes_of(lines) == expected


async def test_each_chunk_says_where_in_the_output_it_begins(hire: Hire, nats_url: str, namespace: str) -> None:
    control = await hire(nats_url, namespace, log_limit=256 << 10)
    execution_id = await control.run("printf start; seq 1000000; printf é >&2; head -c 100 /dev/urandom")
    await control.log(execution_id)
    offset, line = 0, 1
    gaps = 0
    for chunk in sorted(control.said(LogChunk, execution_id), key=lambda chunk: chunk.seq):
        assert (chunk.offset, chunk.first_line) == (offset, line)
        for entry in chunk.lines:
            if entry.stream != "system":
                offset += len(written(entry))
                line += written(entry).endswith(b"\n")
            elif entry.missing is not None:
                gaps += 1
                offset += entry.missing.bytes
                line += entry.missing.lines
    assert (
        offset == len("start") + sum(len(str(number)) + 1 for number in range(1, 1_000_001)) + len("é".encode()) + 100
    )
    assert gaps == 1
