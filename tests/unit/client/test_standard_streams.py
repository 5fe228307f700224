"""The program's own standard streams: full, closed, missing, and not blocking."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

HODEI = f"{sys.executable} -m hodei"
NOBODY = os.environ | {"HODEI_ORCHESTRATOR_URL": "http://127.0.0.1:9"}


async def shell(script: str, *, program: str = HODEI) -> tuple[int, str, str]:
    """Exit code, output and errors of a line for bash, in which `hodei` is this one."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script.replace("hodei", program, 1),
        env=NOBODY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("arguments", ["--version", "--help"])
async def test_a_full_disk_behind_the_output_is_one_line(arguments: str) -> None:
    assert await shell(f"hodei {arguments} > /dev/full") == (1, "", "hodei: standard output: No space left on device\n")


@pytest.mark.parametrize("arguments", ["--version", "--help"])
async def test_a_reader_that_has_gone_ends_it_quietly_as_sigpipe_would(arguments: str) -> None:
    # The reader has closed its side before anything is written.
    script = f"exec 3> >(exec 0<&-); wait $!; hodei {arguments} >&3"
    assert await shell(script) == (128 + signal.SIGPIPE, "", "")


@pytest.mark.parametrize("missing", [">&-", ">&- 2>&- <&-"])
async def test_missing_streams_are_not_a_failure(missing: str) -> None:
    assert await shell(f"hodei --version {missing}") == (0, "", "")


@pytest.mark.parametrize("where", ["2>&-", ">/dev/full 2>&1"])
async def test_an_error_that_cannot_be_shown_keeps_its_exit_code_and_stays_out_of_the_output(where: str) -> None:
    assert await shell(f"hodei runn true {where}") == (2, "", "")


async def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    writing = (
        "import os,sys; from hodei import standard_streams; os.set_blocking(1, False)\n"
        "with standard_streams.prepared(): print('x' * 1_000_000)"
    )
    code, out, err = await shell("hodei | { sleep 0.3; cat; }", program=f'{sys.executable} -c "{writing}"')
    assert (code, len(out), err) == (0, 1_000_001, "")


async def test_remarks_wait_for_room_and_are_all_there_at_the_end() -> None:
    writing = (
        "import sys; from hodei import standard_streams\n"
        "with standard_streams.prepared():\n"
        "    for n in range(9000): print('remark', n, file=sys.stderr)\n"
        "    print('went on')"
    )
    # The remarks go to a reader that reads only once the program has gone on.
    script = "exec 3> >(read -r < ahead; cat >&2); hodei 2>&3 > ahead; exec 3>&-; wait"
    code, _, err = await shell(
        f"cd $(mktemp -d); mkfifo ahead; {script}",
        program=f'env PYTHONPATH={os.getcwd()} {sys.executable} -c "{writing}"',
    )
    remarks = err.splitlines()
    assert code == 0
    assert remarks[-1] == "remark 8999"
    assert remarks[0] == "remark 0"
