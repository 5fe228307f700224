"""The client's calls about the platform as a whole: its services, and numbers of jobs."""

from datetime import datetime

from hodei.client.calls import one, quoted
from hodei.client.services import Services
from schemas.rest.platform import Platform
from schemas.rest.statistics import JobCounts, JobThroughput, PipelineStatistics


class PlatformCalls(Services):
    """Where the services are, what is on, and how many jobs there are."""

    async def platform(self) -> Platform:
        """The three services with their addresses and versions, what they keep, and which features are on."""
        return one(Platform, await self.orchestrator.request("GET", "/api/v1/platform"))

    async def job_counts(self) -> JobCounts:
        """How many jobs have each status."""
        return one(JobCounts, await self.orchestrator.request("GET", "/api/v1/jobs/counts"))

    async def throughput(self, *, since: datetime | None = None, step: int = 900) -> JobThroughput:
        """How many jobs were accepted and ended in each `step` seconds, a multiple of 60, by default for the last 24
        hours."""
        query = {"since": None if since is None else since.isoformat(), "step": step}
        return one(JobThroughput, await self.orchestrator.request("GET", "/api/v1/jobs/throughput", query=query))

    async def pipeline_statistics(self, pipeline_id: str, *, limit: int = 30) -> PipelineStatistics:
        """The last runs of a pipeline, and how often and how long those ran that ended."""
        path = f"/api/v1/pipelines/{quoted(pipeline_id)}/statistics"
        return one(PipelineStatistics, await self.orchestrator.request("GET", path, query={"limit": limit}))
