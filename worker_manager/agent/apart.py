"""Takes a message of reports apart that is larger than the NATS server takes, because its `max_payload` was lowered.

Each event becomes a message of its own. An outcome that is too large even so can be sent without its outputs, so that
it is not lost. Pure; `delivery` sends the messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from schemas.cloudevents import decode_batch, encode_batch
from schemas.events import ExecutionFinished
from worker_manager.agent.spool import Message


@dataclass(frozen=True, slots=True)
class Part:
    """One event of a message. `smaller` is the outcome without its outputs; None where there are none to leave out."""

    message: Message
    smaller: Message | None


def parts(message: Message, event_type: str) -> Iterator[Part]:
    """The events of a message. Their message ids are the same whenever it is taken apart. Raises MalformedEvents."""
    for number, event in enumerate(decode_batch(event_type, message.payload)):
        of_event = message.reports and (event.data.entity_id(),)
        own = replace(message, msg_id=f"{message.msg_id}-{number}", payload=encode_batch([event]), reports=of_event)
        if isinstance(event.data, ExecutionFinished) and event.data.outputs:
            without = encode_batch([replace(event, data=event.data.without_outputs())])
            yield Part(own, replace(own, payload=without))
        else:
            yield Part(own, None)
