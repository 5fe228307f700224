"""Numbers for people: jobs by status, jobs over time, and the last runs of a pipeline."""

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from orchestrator.store.counts import CountStore
from schemas.rest.statistics import JobCounts, JobThroughput, PipelineStatistics, StatisticsQuery, ThroughputQuery
from shared.errors import NotFound
from shared.web import Api, json_response


@dataclass(frozen=True, slots=True)
class StatisticsRoutes:
    """The handlers."""

    store: CountStore

    async def count_jobs(self, _request: web.Request) -> web.StreamResponse:
        """Exact, and answered at once however many jobs there are. A job counts until it is deleted."""
        return json_response(await self.store.counts())

    async def get_throughput(self, _request: web.Request, query: ThroughputQuery) -> web.StreamResponse:
        """How many jobs were accepted, and how many ended, in each span of time. A job that is deleted later still
        counts. What is older than 90 days is not kept."""
        buckets = await self.store.throughput(query.start(), timedelta(seconds=query.step))
        return json_response(f'{{"step":{query.step},"buckets":{buckets}}}')

    async def get_pipeline_statistics(
        self, _request: web.Request, id: str, query: StatisticsQuery
    ) -> web.StreamResponse:
        """The last runs of all versions, and how often and how long those ran that ended."""
        found = await self.store.statistics(id, query.limit)
        if found is None:
            raise NotFound("pipeline", id)
        return json_response(found)


def api(routes: StatisticsRoutes) -> Api:
    """The routes."""
    api = Api(tag="statistics", description="Numbers of jobs, by status, over time and by pipeline.")
    api.get("/api/v1/jobs/counts", summary="Count jobs by status", answers={200: JobCounts})(routes.count_jobs)
    api.get(
        "/api/v1/jobs/throughput",
        summary="Show how many jobs began and ended over time",
        query=ThroughputQuery,
        answers={200: JobThroughput},
    )(routes.get_throughput)
    api.get(
        "/api/v1/pipelines/{id}/statistics",
        summary="Show the last runs of a pipeline",
        query=StatisticsQuery,
        answers={200: PipelineStatistics},
    )(routes.get_pipeline_statistics)
    return api
