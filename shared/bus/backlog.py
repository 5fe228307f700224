"""Whether a durable consumer has handled what its stream held at a certain moment, as JetStream itself says.

What was given to a process and not acknowledged counts as not handled. How far behind consumers are, for metrics, is in
`shared.bus.lag`.
"""

from dataclasses import dataclass

from schemas.subjects import EVENTS, Catalogue
from shared.bus.connection import Connection


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the events stream held when it was asked: messages up to the number `last`."""

    last: int

    @classmethod
    async def now(cls, connection: Connection, catalogue: Catalogue, *, deadline: float) -> "Backlog":
        """Raises BusUnavailable when there is no answer within `deadline` seconds, BusError without the stream."""
        told = await connection.api(f"STREAM.INFO.{catalogue.stream(EVENTS)}", {}, deadline=deadline)
        return cls(int(told["state"]["last_seq"]))

    async def is_handled(self, connection: Connection, catalogue: Catalogue, durable: str, *, deadline: float) -> bool:
        """Whether all that this consumer takes of it was acknowledged. Raises as `now`."""
        told = await connection.api(f"CONSUMER.INFO.{catalogue.stream(EVENTS)}.{durable}", {}, deadline=deadline)
        nothing_left = not told["num_pending"] and not told["num_ack_pending"]
        # Under load something is always under way; then the newest that has nothing unacknowledged before it tells.
        return nothing_left or int(told["ack_floor"]["stream_seq"]) >= self.last
