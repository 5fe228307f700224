"""Events of pipelines, published by the orchestrator."""

from pydantic import Field

from schemas.access import Actor
from schemas.events.base import EventData


class _PipelineEvent(EventData):
    pipeline_id: str
    name: str
    pipeline_version: int

    def entity_id(self) -> str:
        return self.pipeline_id


class PipelineCreated(_PipelineEvent):
    event_type = "pipelines.created"
    created_by: Actor | None = Field(None, description="Who created it; absent with access off.")


class PipelineUpdated(_PipelineEvent):
    event_type = "pipelines.updated"
    updated_by: Actor | None = Field(None, description="Who created this version; absent with access off.")


class PipelineArchived(_PipelineEvent):
    event_type = "pipelines.archived"
    archived_by: Actor | None = Field(None, description="Who archived it; absent with access off.")
