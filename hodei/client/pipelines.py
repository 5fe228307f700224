"""The client's calls for pipelines, to the orchestrator."""

from collections.abc import AsyncIterator, Mapping
from typing import Final, Unpack

from pydantic_core import to_json

from hodei.client.calls import Fields, body_of, one, pages, quoted
from hodei.client.filters import PipelineFilters, PipelineVersionFilters
from hodei.client.services import Services
from schemas.rest.pipelines import Pipeline, PipelineCreate, PipelinePlan, ValidatedPipeline

_VALIDATE: Final = "/api/v1/pipelines/validate"
_PLAN: Final = "/api/v1/pipelines/plan"


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

    def pipeline_versions(self, pipeline_id: str, **filters: Unpack[PipelineVersionFilters]) -> AsyncIterator[Pipeline]:
        """All versions of a pipeline, newest first."""
        return pages(self.orchestrator, Pipeline, f"/api/v1/pipelines/{quoted(pipeline_id)}/versions", filters)

    async def update_pipeline(self, pipeline_id: str, pipeline: PipelineCreate | Fields) -> Pipeline:
        """Create a pipeline's next version. Running jobs keep theirs."""
        path = f"/api/v1/pipelines/{quoted(pipeline_id)}"
        return one(Pipeline, await self.orchestrator.request("PUT", path, body=body_of(PipelineCreate, pipeline)))

    async def validate_pipeline(self, pipeline: PipelineCreate | Fields | str) -> PipelineCreate:
        """Check a pipeline, given by its fields or as the text of a file (YAML or JSON), and return it with all its
        fields. The ApiError for an invalid one has all its errors at once, those of a text with line and column."""
        body = to_json({"yaml": pipeline} if isinstance(pipeline, str) else _fields(pipeline))
        return one(ValidatedPipeline, await self.orchestrator.request("POST", _VALIDATE, body=body)).pipeline

    async def plan_pipeline(
        self, pipeline: PipelineCreate | Fields | str, params: Mapping[str, str] | None = None
    ) -> PipelinePlan:
        """The tasks that a job of a pipeline would have with these parameters; nothing is stored. The pipeline is given
        as for `validate_pipeline`."""
        given = {"yaml": pipeline} if isinstance(pipeline, str) else {"pipeline": _fields(pipeline)}
        body = to_json({**given, "params": dict(params or {})})
        return one(PipelinePlan, await self.orchestrator.request("POST", _PLAN, body=body))

    async def pipeline_schema(self) -> dict[str, object]:
        """The JSON Schema of a pipeline's file, for editors."""
        return (await self.orchestrator.request("GET", "/schemas/pipeline.json")).read(dict[str, object])

    async def archive_pipeline(self, pipeline_id: str) -> None:
        """Archive a pipeline: its jobs stay readable, but cannot run again."""
        await self.orchestrator.request("DELETE", f"/api/v1/pipelines/{quoted(pipeline_id)}")

    def pipelines(self, **filters: Unpack[PipelineFilters]) -> AsyncIterator[Pipeline]:
        """All pipelines, newest first, page by page."""
        return pages(self.orchestrator, Pipeline, "/api/v1/pipelines", filters)


def _fields(pipeline: PipelineCreate | Fields) -> Fields:
    """The fields as they are: the service checks them, all at once."""
    if isinstance(pipeline, PipelineCreate):
        return pipeline.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return pipeline
