"""A process that takes numbered events, says which on standard output, and never finishes with them."""

import asyncio
import sys
from dataclasses import replace

from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData
from schemas.subjects import ConsumerSpec
from shared.bus import Bus
from tests.fixtures.events import SPEC, number
from tests.fixtures.processes import say


async def hold(url: str, namespace: str) -> None:
    async def handler(events: list[CloudEvent[EventData]]) -> None:
        for event in events:
            say(str(number(event)))
        await asyncio.Event().wait()

    bus = Bus(url, name="holder", namespace=namespace, start_deadline=10)
    await bus.start()
    spec = replace(SPEC, ack_wait=ConsumerSpec.ack_wait)
    await bus.consumer_of(spec, handler, decode=decode_batch).start()
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(*sys.argv[1:]))
