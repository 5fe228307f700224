"""Whether a durable consumer has handled everything that its stream held at a given moment, according to JetStream.

A message that was delivered and not acknowledged counts as not handled. The metrics of consumer lag are in
`shared.bus.lag`.
"""

from dataclasses import dataclass

from schemas.subjects import EVENTS, Catalogue
from shared.bus.connection import Connection


@dataclass(frozen=True, slots=True)
class Backlog:
    """The state of the events stream when it was read: it held messages up to the sequence number `last`."""

    last: int

    @classmethod
    async def now(cls, connection: Connection, catalogue: Catalogue, *, deadline: float) -> "Backlog":
        """Read the stream's state. Raises BusUnavailable when there is no answer within `deadline` seconds, BusError
        when the stream does not exist."""
        told = await connection.api(f"STREAM.INFO.{catalogue.stream(EVENTS)}", {}, deadline=deadline)
        return cls(int(told["state"]["last_seq"]))

    async def is_handled(self, connection: Connection, catalogue: Catalogue, durable: str, *, deadline: float) -> bool:
        """Whether the consumer has acknowledged all of these messages that match its filters. Raises as `now`."""
        told = await connection.api(f"CONSUMER.INFO.{catalogue.stream(EVENTS)}.{durable}", {}, deadline=deadline)
        nothing_left = not told["num_pending"] and not told["num_ack_pending"]
        # Under load some messages are always unacknowledged; then the floor decides, before which all are acknowledged.
        return nothing_left or int(told["ack_floor"]["stream_seq"]) >= self.last
