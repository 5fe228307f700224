"""Parses `text/event-stream` (WHATWG): lines become events. Reconnecting is not done here."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: `data` joined by newlines, `id` from which to resume, `event` its name ("message" when it has
    none)."""

    data: str
    id: str | None = None
    event: str = "message"


async def parse_events(
    lines: AsyncIterable[bytes], *, on_id: Callable[[str], None] = lambda _: None
) -> AsyncIterator[ServerSentEvent]:
    """Yield the complete events of a stream of lines. Comments and an unfinished last event are ignored.

    `on_id` is called with the id from which to resume after each event, also after one without data, which is not
    yielded: by it a stream states its position before it has anything to send.
    """
    data: list[str] = []
    event, last_id = "message", None
    async for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if not line:
            if last_id is not None:
                on_id(last_id)
            if data:
                yield ServerSentEvent("\n".join(data), last_id, event)
            data, event = [], "message"
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "event":
            event = value
