"""`EventData`, the base class of every event's `data`."""

from typing import ClassVar

from schemas.model import EventModel


class EventData(EventModel):
    """The `data` of one event. `event_type` is `<plural>.<verb>`, the subject on the bus without the namespace."""

    event_type: ClassVar[str]
    version: ClassVar[int] = 1

    def entity_id(self) -> str:
        """The id of the entity that the event is about."""
        raise NotImplementedError  # the base class of each entity's events implements it
