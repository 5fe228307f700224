"""Pipelines over REST: what is sent to make one, and what comes back. Graph rules are the orchestrator's."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from schemas.model import Id, Model, Name, OrDefault, Timestamp, without_controls
from schemas.rest.lists import PageQuery
from schemas.specs import MAX_STEPS, Env, Seconds, StepSpec

PipelineStatus = Literal["active", "archived"]


def _requires_can_be_shown(steps: list[StepSpec]) -> list[StepSpec]:
    # Not a rule of StepSpec, which also reads the steps of pipelines that were accepted without it.
    for step in steps:
        for key, value in step.requires.items():
            try:
                without_controls(value)
            except ValueError as error:
                raise ValueError(f"step {step.name}: requires {key} {error}") from None
    return steps


class PipelineCreate(Model):
    """A named graph of steps. One without steps is legal: a job of it succeeds at once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly-build",
                    "steps": [
                        {"name": "fetch", "command": "echo fetching"},
                        {"name": "test", "command": "echo testing", "depends_on": ["fetch"], "timeout": 60},
                    ],
                }
            ]
        }
    )

    name: Name = Field(description="What people call the pipeline; several may have the same name.")
    description: str | None = Field(None, max_length=10_000, description="What it is for, in as many words as needed.")
    steps: OrDefault[Annotated[list[StepSpec], AfterValidator(_requires_can_be_shown)]] = Field(
        default_factory=list, max_length=MAX_STEPS, description="The graph: each step names what it depends on."
    )
    env: OrDefault[Env] = Field(default_factory=dict, description="For every step; a step's own env wins.")
    timeout: Seconds | None = Field(None, description="Seconds that a whole job may take.")


class Pipeline(Model):
    """A named graph of steps, at its newest version."""

    id: Id = Field(description="The pipeline's id.")
    name: str = Field(description="What people call the pipeline.")
    description: str | None = Field(description="What it is for.")
    status: PipelineStatus = Field(description="No new jobs are made of an archived one.")
    version: int = Field(description="Counts the changes, from 1; a job keeps the version that it was made of.")
    steps: list[StepSpec] = Field(description="The graph: each step names what it depends on.")
    env: dict[str, str] = Field(description="For every step; a step's own env wins.")
    timeout: float | None = Field(description="Seconds that a whole job may take.")
    created_at: Timestamp = Field(description="When the pipeline was made.")
    updated_at: Timestamp = Field(description="When its newest version was made.")


class PipelineQuery(PageQuery):
    name: str | None = Field(None, description="Only pipelines of exactly this name.")
    status: PipelineStatus = Field("active", description="`archived`: those out of use instead.")
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="Only pipelines whose newest version this is.")
