"""Dead letters over REST: events that a service's handlers could not take, to be read, published again or dropped."""

from pydantic import Field

from schemas.model import Id, Model, Timestamp
from schemas.rest.lists import PageQuery


class DeadLetter(Model):
    """An event, or a message that could not be read, that a consumer gave up."""

    id: Id = Field(description="The letter's id.")
    consumer: str = Field(description="The consumer whose handler could not take it.")
    event_type: str = Field(description="The event's type, such as `executions.finished`.")
    entity_id: str | None = Field(description="What the event speaks of: its `subject`.")
    job_id: str | None = Field(description="The job that the event belongs to, if it names one.")
    error: str = Field(description="What the handler raised at its last try.")
    deliveries: int = Field(description="How often the message had been delivered.")
    stored_at: Timestamp = Field(description="When it was given up.")
    resendable: bool = Field(description="Whether the event was kept whole, so that it can be published again.")


class DeadLetterDetail(DeadLetter):
    """A dead letter with its content."""

    event: object = Field(
        description="The event as it came (a CloudEvent), or the beginning of it as text. Variables and "
        "parameters that look like secrets are shown as `***`."
    )


class DeadLetterQuery(PageQuery):
    """Filters of the list."""

    consumer: str | None = Field(None, max_length=100, description="Only those of one consumer.")
    event_type: str | None = Field(None, max_length=100, description="Only events of one type.")
    entity_id: str | None = Field(None, max_length=100, description="Only events that speak of this entity.")
    job_id: str | None = Field(None, max_length=100, description="Only events of one job.")
