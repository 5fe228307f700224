"""One service as a child of `hodei up`."""

import asyncio
import os
import sys
from pathlib import Path

from hodei.embedded.service import ProcessSpec, ServiceProcess

STOPS_SLOWLY = """
import os, signal, sys
def say(word):
    os.write(int(sys.argv[1]), word + b"\\n")
asked = 0
def ask(number, frame):
    global asked
    asked += 1
    say(b"asked")
signal.signal(signal.SIGTERM, ask)
say(b"ready")
while not asked:
    signal.pause()
signal.sigtimedwait([], 0.3)  # what is under way is ended first
say(b"stopped")
"""


async def test_a_service_that_was_asked_to_stop_is_not_pressed(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    spec = ProcessSpec(
        name="slow",
        command=(sys.executable, "-c", STOPS_SLOWLY, str(write_end)),
        url="http://127.0.0.1:1",
        log=tmp_path / "service.log",
        environment={},
        fds=(write_end,),
    )
    service = ServiceProcess(spec, say=lambda _: None)
    service.start()
    os.close(write_end)
    said = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(said), os.fdopen(read_end, "rb", buffering=0)
    )
    async with asyncio.timeout(10):
        assert await said.readline() == b"ready\n"
        service.ask_to_stop()
        assert await said.readline() == b"asked\n"
        await service.stop(deadline=10)
        assert await said.read() == b"stopped\n"
    transport.close()
