"""The steps of a pipeline: those that run a command (`schemas.specs.StepSpec`), and those that ask for an approval."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, TypeAdapter

from schemas.access import Actor
from schemas.model import EventModel, Instant, OrDefault, without_controls
from schemas.params import Inputs, ParamSpec, Scalar
from schemas.specs import Seconds, StepBase, StepSpec

MAX_MESSAGE: Final = 2000
"""The most characters of an approval's message, or of the comment of a decision."""

Message = Annotated[str, StringConstraints(max_length=MAX_MESSAGE), AfterValidator(without_controls)]


class Approval(EventModel):
    """What an approval asks, as frozen in a job."""

    message: str = Field("", description="What is to be decided.")
    timeout: float | None = Field(None, description="How long it may wait for a decision, in seconds.")
    inputs: dict[str, ParamSpec] = Field(default_factory=dict, description="The values that an approval may give.")


class Decision(EventModel):
    """What was decided about an approval."""

    approved: bool = Field(description="Whether it was approved; false: rejected.")
    by: str | None = Field(None, description="Who decided, as far as the request named them.")
    comment: str | None = Field(None, description="Why, in the words of the request.")
    decided_by: Actor | None = Field(
        None, description="The token with which the decision was requested; null with access off."
    )
    at: Instant = Field(description="When it was decided.")
    inputs: dict[str, Scalar] = Field(
        default_factory=dict, description="The values of its inputs, defaults included. Secrets are shown as `***`."
    )

    @property
    def who(self) -> str | None:
        """Who decided, in words: as the request named them, and the token's name."""
        token = None if self.decided_by is None else self.decided_by.name
        return self.by if token in (None, self.by) else token if self.by is None else f"{self.by} (token {token})"


class ApprovalStep(StepBase):
    """A step of a pipeline that waits until a person or a program approves or rejects it. It runs nothing, and holds no
    slot of a worker."""

    type: Literal["approval"] = Field(description="`approval`")
    message: OrDefault[Message] = Field("", description="What is to be decided.")
    timeout: Seconds | None = Field(
        None, description="How long it may wait for a decision, in seconds; then it fails. By default for ever."
    )
    inputs: OrDefault[Inputs] = Field(
        default_factory=dict,
        description="The values that an approval may give, declared as the `params` of a pipeline. They become the "
        "step's outputs.",
    )

    def approval(self) -> Approval:
        """What it asks."""
        return Approval(message=self.message, timeout=self.timeout, inputs=self.inputs)


def _kind(step: object) -> str:
    kind = step.get("type") if isinstance(step, dict) else getattr(step, "type", None)
    return "[approval]" if kind == "approval" else "[command]"


Step = Annotated[
    Annotated[StepSpec, Tag("[command]")] | Annotated[ApprovalStep, Tag("[approval]")], Discriminator(_kind)
]
STEP: Final[TypeAdapter[Step]] = TypeAdapter(Step)
STEPS: Final[TypeAdapter[list[Step]]] = TypeAdapter(list[Step])
