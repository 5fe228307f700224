"""One service as a child of `hodei up`."""

import asyncio
import sys
from pathlib import Path

from hodei.embedded.service import ProcessSpec, ServiceProcess

STOPS_SLOWLY = """
import signal, time
asked = 0
def ask(number, frame):
    global asked
    asked += 1
    print("asked", flush=True)
signal.signal(signal.SIGTERM, ask)
print("ready", flush=True)
while not asked:
    signal.pause()
signal.sigtimedwait([], 0.3)  # what is under way is ended first
print("stopped", flush=True)
"""


async def test_a_service_that_was_asked_to_stop_is_not_pressed(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    spec = ProcessSpec(
        name="slow",
        command=(sys.executable, "-c", STOPS_SLOWLY),
        url="http://127.0.0.1:1",
        log=log,
        environment={},
        fds=(),
    )
    service = ServiceProcess(spec, say=lambda _: None)
    service.start()
    await _says(log, "ready")
    service.ask_to_stop()
    await _says(log, "asked")
    await service.stop(deadline=10)
    assert log.read_text().split() == ["ready", "asked", "stopped"]


async def _says(log: Path, word: str) -> None:
    async with asyncio.timeout(10):
        while word not in log.read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
