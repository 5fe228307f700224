"""/api/v1/pipelines: named graphs of steps, and their versions."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from orchestrator.api.definitions import Definitions
from orchestrator.api.masked import masked_pipeline, visible
from orchestrator.aside import Aside
from orchestrator.domain.pipeline_schema import pipeline_schema
from orchestrator.store.pipelines import PipelineStore
from orchestrator.submission import Submission
from schemas.access import Role
from schemas.events import PipelineArchived, PipelineCreated, PipelineUpdated
from schemas.rest.pipelines import (
    Pipeline,
    PipelineCreate,
    PipelinePlan,
    PipelinePlanRequest,
    PipelineQuery,
    PipelineSource,
    PipelineVersionQuery,
    ValidatedPipeline,
)
from shared.access import actor
from shared.errors import NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.postgres import Page
from shared.web import Answer, Api, json_response, whole_body
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page

_SCHEMA: Final = to_json(pipeline_schema())


@dataclass(frozen=True, slots=True)
class PipelineRoutes:
    """The handlers of the pipeline routes, and the objects that they use."""

    store: PipelineStore
    submission: Submission
    definitions: Definitions
    outbox: Outbox
    aside: Aside

    async def create_pipeline(self, request: web.Request, body: PipelineCreate) -> web.StreamResponse:
        """A pipeline with a cycle, or an unknown or repeated step, is refused; the error names the steps."""
        await self.definitions.check(body, await whole_body(request))
        pipeline_id, by = new_id(), actor()
        async with idempotent(request, self.outbox) as tx:
            shown = await self.store.insert(tx, pipeline_id, body, by)
            tx.emit(PipelineCreated(pipeline_id=pipeline_id, name=body.name, pipeline_version=1, created_by=by))
            response = tx.answer(201, shown, {"Location": f"/api/v1/pipelines/{pipeline_id}"})
        return response

    async def list_pipelines(self, request: web.Request, query: PipelineQuery) -> web.StreamResponse:
        """Archived pipelines are listed with `status=archived`. For callers with a role below `operator`, values that
        look like secrets are `***`."""

        async def find(query: PipelineQuery, before: str | None) -> Page:
            return await self._visible(await self.store.find(query, before))

        return await answer_page(request, query, find)

    async def get_pipeline(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The response has its newest version. For callers with a role below `operator`, values that look like secrets
        are `***`."""
        shown = await self.store.get(self.outbox.database, id)
        if shown is None:
            raise NotFound("pipeline", id)
        return json_response(*await visible([shown], masked_pipeline, self.aside))

    async def list_pipeline_versions(
        self, request: web.Request, id: str, query: PipelineVersionQuery
    ) -> web.StreamResponse:
        """The versions of an archived pipeline stay readable, for the jobs that were created from them. For callers
        with a role below `operator`, values that look like secrets are `***`."""

        async def find(query: PipelineVersionQuery, before: str | None) -> Page:
            found = await self.store.versions(id, query, None if before is None else int(before))
            if not found.rows and before is None and not await self.store.exists(id):
                raise NotFound("pipeline", id)
            return await self._visible(found)

        return await answer_page(request, query, find, key="int")

    async def get_pipeline_version(self, _request: web.Request, id: str, version: str) -> web.StreamResponse:
        """The version is returned as its jobs run it, even if there are newer ones or the pipeline is archived. For
        callers with a role below `operator`, values that look like secrets are `***`."""
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
        shown = await self.store.get_version(id, number)
        if shown is None:
            raise NotFound("version", f"{version} of pipeline {id}")
        return json_response(*await visible([shown], masked_pipeline, self.aside))

    async def update_pipeline(self, request: web.Request, id: str, body: PipelineCreate) -> web.StreamResponse:
        """Creates the next version. Existing jobs keep the version that they were created from."""
        await self.definitions.check(body, await whole_body(request))
        by = actor()
        async with self.outbox.transaction() as tx:
            updated = await self.store.update(tx, id, body, by)
            if updated is None:
                raise NotFound("pipeline", id)
            version, shown = updated
            tx.emit(PipelineUpdated(pipeline_id=id, name=body.name, pipeline_version=version, updated_by=by))
        return json_response(shown)

    async def validate_pipeline(self, _request: web.Request, body: bytes) -> web.StreamResponse:
        """Checks a pipeline without storing it. The response to an invalid one (422) has all its errors at once; those
        of a text have `line` and `column`."""
        return json_response(ValidatedPipeline(pipeline=await self.definitions.read(body)))

    async def plan_pipeline(self, _request: web.Request, body: bytes) -> web.StreamResponse:
        """Nothing is stored and nothing runs. Invalid pipelines are refused as by `validate`."""
        pipeline, params = await self.definitions.read_plan(body)
        return json_response(self.submission.plan(pipeline, params))

    async def get_pipeline_schema(self, _request: web.Request) -> web.StreamResponse:
        """Editors use it to check and complete a pipeline's file. It also covers what only a file may use."""
        return json_response(_SCHEMA)

    async def archive_pipeline(self, _request: web.Request, id: str) -> web.StreamResponse:
        """An archived pipeline is no longer listed and cannot be run, and its jobs cannot be rerun. Accepted jobs go on
        and stay readable."""
        async with self.outbox.transaction() as tx:
            row = await self.store.archive(tx, id)
            if row is None:
                raise NotFound("pipeline", id)
            tx.emit(
                PipelineArchived(pipeline_id=id, name=row["name"], pipeline_version=row["version"], archived_by=actor())
            )
        return web.Response(status=204)

    async def _visible(self, page: Page) -> Page:
        return Page(await visible(page.rows, masked_pipeline, self.aside), page.last)


def api(routes: PipelineRoutes) -> Api:
    """The routes."""
    api = Api(tag="pipelines", description="Pipelines: named graphs of steps, in versions.")
    api.post(
        "/api/v1/pipelines", summary="Create a pipeline", body=PipelineCreate, answers={201: Pipeline}, creates=True
    )(routes.create_pipeline)
    api.get(
        "/api/v1/pipelines", summary="List pipelines, newest first", query=PipelineQuery, answers={200: list[Pipeline]}
    )(routes.list_pipelines)
    api.get("/api/v1/pipelines/{id}", summary="Show a pipeline", answers={200: Pipeline})(routes.get_pipeline)
    api.get(
        "/api/v1/pipelines/{id}/versions",
        summary="List a pipeline's versions, newest first",
        query=PipelineVersionQuery,
        answers={200: list[Pipeline]},
    )(routes.list_pipeline_versions)
    api.get(
        "/api/v1/pipelines/{id}/versions/{version}", summary="Show a version of a pipeline", answers={200: Pipeline}
    )(routes.get_pipeline_version)
    api.put(
        "/api/v1/pipelines/{id}",
        summary="Create a new version of a pipeline",
        body=PipelineCreate,
        answers={200: Pipeline},
    )(routes.update_pipeline)
    api.post(
        "/api/v1/pipelines/validate",
        summary="Check a pipeline",
        body=PipelineSource,
        answers={200: ValidatedPipeline},
        raw=True,
        role=Role.VIEWER,
    )(routes.validate_pipeline)
    api.post(
        "/api/v1/pipelines/plan",
        summary="Show the tasks that a job would have",
        body=PipelinePlanRequest,
        answers={200: PipelinePlan},
        raw=True,
        role=Role.VIEWER,
    )(routes.plan_pipeline)
    api.get(
        "/schemas/pipeline.json",
        summary="The JSON Schema of a pipeline's file",
        answers={200: Answer(dict[str, object], description="JSON Schema 2020-12")},
        public=True,
    )(routes.get_pipeline_schema)
    api.delete("/api/v1/pipelines/{id}", summary="Archive a pipeline", answers={204: None})(routes.archive_pipeline)
    return api
