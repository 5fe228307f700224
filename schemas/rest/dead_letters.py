"""Dead letters over REST: events that a service's handlers could not take, to be read, published again or dropped."""

from pydantic import Field

from schemas.model import Id, Model, Timestamp
from schemas.rest.lists import PageQuery


class DeadLetter(Model):
    """An event, or a message that could not be read, that a consumer gave up."""

    id: Id = Field(description="The letter's id.")
    consumer: str = Field(description="The consumer whose handler failed.")
    event_type: str = Field(description="The event's type, such as `executions.finished`.")
    entity_id: str | None = Field(description="The id of the entity that the event is about: its `subject`.")
    job_id: str | None = Field(description="The job that the event belongs to, if it has one.")
    error: str = Field(description="The error that the handler raised at its last try.")
    deliveries: int = Field(description="How often the message was delivered.")
    stored_at: Timestamp = Field(description="When the event was moved to the dead letters.")
    resendable: bool = Field(description="Whether the event was stored in full, so that it can be published again.")


class DeadLetterDetail(DeadLetter):
    """A dead letter with its content."""

    event: object = Field(
        description="The event as received (a CloudEvent), or its beginning as text. Variables and "
        "parameters that look like secrets are shown as `***`."
    )


class DeadLetterQuery(PageQuery):
    """Filters of the list."""

    consumer: str | None = Field(None, max_length=100, description="Only dead letters of this consumer.")
    event_type: str | None = Field(None, max_length=100, description="Only events of this type.")
    entity_id: str | None = Field(None, max_length=100, description="Only events about this entity.")
    job_id: str | None = Field(None, max_length=100, description="Only events of this job.")
