"""Pipelines over REST: what is sent to make one, and what comes back. Graph rules are the orchestrator's."""

from typing import Literal

from pydantic import Field

from schemas.model import Model, Name, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import MAX_STEPS, Env, Seconds, StepSpec


class PipelineCreate(Model):
    """A named graph of steps. One without steps is legal: a job of it succeeds at once."""

    name: Name = Field(examples=["nightly-build"])
    description: str | None = Field(None, max_length=10_000)
    steps: list[StepSpec] = Field(default_factory=list, max_length=MAX_STEPS)
    env: Env = Field(default_factory=dict, description="For every step; a step's own env wins.")
    timeout: Seconds | None = Field(None, description="Seconds that a whole job may take.")


class Pipeline(Model):
    id: str
    name: str
    description: str | None
    status: Literal["active", "archived"]
    version: int
    steps: list[StepSpec]
    env: dict[str, str]
    timeout: float | None
    created_at: Timestamp
    updated_at: Timestamp


class PipelineQuery(PageQuery):
    name: str | None = None
