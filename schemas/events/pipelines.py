"""Events of pipelines, published by the orchestrator."""

from schemas.events.base import EventData


class _PipelineEvent(EventData):
    pipeline_id: str
    name: str
    pipeline_version: int

    def entity_id(self) -> str:
        return self.pipeline_id


class PipelineCreated(_PipelineEvent):
    event_type = "pipelines.created"


class PipelineUpdated(_PipelineEvent):
    event_type = "pipelines.updated"


class PipelineArchived(_PipelineEvent):
    event_type = "pipelines.archived"
