"""A process that the agent started: what is known of it when it is over."""

from __future__ import annotations

import asyncio

from shared.process.tree import ticks
from worker_manager.agent.process import Launcher, Stream


class Ear:
    """A listener that waits for the end."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def on_output(self, stream: Stream, data: bytes) -> None: ...

    def on_exit(self, exit_code: int) -> None: ...

    def on_held(self) -> None: ...

    def on_closed(self) -> None:
        self.closed.set()


async def test_a_process_that_was_waited_for_bounds_its_session() -> None:
    launcher, ear = Launcher(), Ear()
    began = ticks()
    process = launcher.start(["/bin/true"], env={}, cwd="/", listener=ear)
    assert (process.session.id, process.session.ended) == (process.pid, None)
    async with asyncio.timeout(20):
        await ear.closed.wait()
    launcher.close()
    assert process.session.ended is not None
    assert began <= process.session.ended <= ticks()
