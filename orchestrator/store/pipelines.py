"""Pipelines and their versions."""

from collections.abc import Collection
from datetime import datetime

from pydantic_core import to_json

from orchestrator.domain.wanted import RunnablePipeline
from orchestrator.store.actors import write_actor
from orchestrator.store.declared import read_declared, write_declared
from schemas.access import Actor
from schemas.concurrency import ConcurrencySpec
from schemas.ids import is_id
from schemas.rest.lists import of_actor, of_name
from schemas.rest.pipelines import PipelineCreate, PipelineQuery, PipelineVersionQuery
from schemas.steps import STEPS
from shared.clock import now
from shared.postgres import Database, Page, Record, Runner, Transaction, load_queries, narrowed_by


class PipelineStore:
    """Reads and writes pipelines."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def insert(self, tx: Transaction, pipeline_id: str, wanted: PipelineCreate, by: Actor | None) -> str:
        """Insert a new pipeline, created `by` someone. Returns it as JSON."""
        moment = now()
        of = (wanted.name, wanted.description, moment, write_actor(by))
        await tx.execute(self._sql["insert_pipeline"], pipeline_id, *of)
        return await self._write_version(tx, pipeline_id, 1, wanted, moment, by)

    async def update(
        self, tx: Transaction, pipeline_id: str, wanted: PipelineCreate, by: Actor | None
    ) -> tuple[int, str] | None:
        """Insert the next version, created `by` someone. Returns its number and the pipeline as JSON, or None when the
        pipeline does not exist."""
        moment = now()
        sql = self._sql["update_pipeline"]
        version = await tx.fetch_value(sql, pipeline_id, wanted.name, wanted.description, moment)
        if version is None:
            return None
        return version, await self._write_version(tx, pipeline_id, version, wanted, moment, by)

    async def archive(self, tx: Transaction, pipeline_id: str) -> Record | None:
        """Archive a pipeline. Returns its name and version, or None when it does not exist."""
        return await tx.fetch_one(self._sql["archive_pipeline"], pipeline_id, now())

    async def get(self, on: Runner, pipeline_id: str) -> str | None:
        """One active pipeline as JSON."""
        body: str | None = await on.fetch_value(self._sql["get_pipeline"], pipeline_id)
        return body

    async def get_version(self, pipeline_id: str, version: int) -> str | None:
        """A pipeline in one of its versions as JSON, archived or not."""
        body: str | None = await self._database.fetch_value(self._sql["get_pipeline_version"], pipeline_id, version)
        return body

    async def exists(self, pipeline_id: str) -> bool:
        """Whether there is a pipeline with this id, archived or not."""
        return await self._database.fetch_value(self._sql["find_pipeline"], pipeline_id) is not None

    async def versions(self, pipeline_id: str, query: PipelineVersionQuery, before: int | None) -> Page:
        """A page of a pipeline's versions, newest first, archived or not."""
        values = {
            "pipeline_id": pipeline_id,
            "before": before,
            **of_actor("updated_by", query.updated_by),
            "limit": query.limit + 1,
        }
        sql, arguments = narrowed_by(self._sql["list_pipeline_versions"], values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def find(self, query: PipelineQuery, before: str | None) -> Page:
        """A page of the active or of the archived pipelines, newest first."""
        values = {
            "active": True if query.status == "active" else None,
            "archived": None if query.status == "active" else True,
            "before": before,
            **of_name(query.name),
            "version": query.version,
            **of_actor("created_by", query.created_by),
            **of_actor("updated_by", query.updated_by),
            "limit": query.limit + 1,
        }
        sql, arguments = narrowed_by(self._sql["list_pipelines"], values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def runnable(self, on: Runner, pipeline_ids: Collection[str]) -> dict[str, RunnablePipeline]:
        """Those of these pipelines that may run, by id."""
        ids = [one for one in set(pipeline_ids) if is_id(one)]
        rows = await on.fetch(self._sql["pipelines_to_run"], ids) if ids else []
        return {row["id"]: _runnable(row) for row in rows}

    async def _write_version(
        self,
        tx: Transaction,
        pipeline_id: str,
        version: int,
        wanted: PipelineCreate,
        moment: datetime,
        by: Actor | None,
    ) -> str:
        steps, env = STEPS.dump_json(wanted.steps, by_alias=True).decode(), to_json(wanted.env).decode()
        sql = self._sql["insert_pipeline_version"]
        params = write_declared(wanted.params)
        of = (wanted.name, wanted.description, steps, env, params, wanted.timeout, wanted.cleanup_timeout, moment)
        concurrency = None if wanted.concurrency is None else wanted.concurrency.model_dump_json()
        await tx.execute(sql, pipeline_id, version, *of, wanted.concurrency_key, concurrency, write_actor(by))
        body: str = await tx.fetch_value(self._sql["get_pipeline"], pipeline_id)
        return body


def _runnable(row: Record) -> RunnablePipeline:
    return RunnablePipeline(
        row["id"],
        row["name"],
        row["version"],
        STEPS.validate_python(row["steps"]),
        row["env"],
        row["timeout"],
        row["cleanup_timeout"],
        read_declared(row["params"]),
        key_template=row["concurrency_key"],
        concurrency=None if row["concurrency"] is None else ConcurrencySpec.model_validate(row["concurrency"]),
    )
