"""nats-py's client without two faults that leave a connection deaf: it is there, and nothing is heard on it any more
until two pings have gone unanswered, some twenty seconds later.

This can go when nats-py heeds both: `_process_pong` sets the result of a future that a timed-out `flush` (or `drain`)
has cancelled, which raises in the loop that reads; and that loop ends at any error that it does not know, with a log
line.
Both are so in nats-py 2.16; tests/integration/bus/test_client.py fails without this module.
"""

import asyncio

import structlog
from nats import errors
from nats.aio.client import Client

_log = structlog.get_logger(__name__)


class HearingClient(Client):
    """A client that reads as long as it is connected, and connects anew when it cannot."""

    @property
    def deaf(self) -> bool:
        """Whether nothing is read at the moment: a `flush` would return at once and prove nothing."""
        return self._reading_task is None or self._reading_task.done()

    async def _process_pong(self) -> None:
        """As nats-py's, for a late answer, too."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        """As nats-py's; when it ended and the connection is still there, the connection is made anew."""
        await super()._read_loop()
        task = asyncio.current_task()
        if self.is_connected and not (task is not None and task.cancelling()):
            _log.warning("bus.reader_ended")
            await self._process_op_err(errors.UnexpectedEOF())
