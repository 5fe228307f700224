"""The client's calls for pipelines, to the orchestrator."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import Fields, body_of, one, pages, quoted
from hodei.client.filters import PageFilters, PipelineFilters
from hodei.client.services import Services
from schemas.rest.pipelines import Pipeline, PipelineCreate


class PipelineCalls(Services):
    """Create, read, change and archive pipelines."""

    async def create_pipeline(
        self, pipeline: PipelineCreate | Fields, *, idempotency_key: str | None = None
    ) -> Pipeline:
        """Create a pipeline."""
        answer = await self.orchestrator.request(
            "POST",
            "/api/v1/pipelines",
            body=body_of(PipelineCreate, pipeline),
            creates=True,
            idempotency_key=idempotency_key,
        )
        return one(Pipeline, answer)

    async def pipeline(self, pipeline_id: str) -> Pipeline:
        """One pipeline, in its newest version."""
        return one(Pipeline, await self.orchestrator.request("GET", f"/api/v1/pipelines/{quoted(pipeline_id)}"))

    async def pipeline_version(self, pipeline_id: str, version: int) -> Pipeline:
        """A pipeline in one of its versions, even if it is archived."""
        path = f"/api/v1/pipelines/{quoted(pipeline_id)}/versions/{version}"
        return one(Pipeline, await self.orchestrator.request("GET", path))

    def pipeline_versions(self, pipeline_id: str, **filters: Unpack[PageFilters]) -> AsyncIterator[Pipeline]:
        """All versions of a pipeline, newest first."""
        return pages(self.orchestrator, Pipeline, f"/api/v1/pipelines/{quoted(pipeline_id)}/versions", filters)

    async def update_pipeline(self, pipeline_id: str, pipeline: PipelineCreate | Fields) -> Pipeline:
        """Create a pipeline's next version. Running jobs keep theirs."""
        path = f"/api/v1/pipelines/{quoted(pipeline_id)}"
        return one(Pipeline, await self.orchestrator.request("PUT", path, body=body_of(PipelineCreate, pipeline)))

    async def archive_pipeline(self, pipeline_id: str) -> None:
        """Archive a pipeline: its jobs stay readable, but cannot run again."""
        await self.orchestrator.request("DELETE", f"/api/v1/pipelines/{quoted(pipeline_id)}")

    def pipelines(self, **filters: Unpack[PipelineFilters]) -> AsyncIterator[Pipeline]:
        """All pipelines, newest first, page by page."""
        return pages(self.orchestrator, Pipeline, "/api/v1/pipelines", filters)
