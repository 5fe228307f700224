"""Concurrency keys over REST: who holds them, and who waits for them."""

from pydantic import Field

from schemas.model import Id, Model, Timestamp
from schemas.rest.lists import PageQuery


class KeyHolder(Model):
    """A job that holds a concurrency key."""

    job_id: Id = Field(description="The job's id.")
    job_name: str = Field(description="The job's name.")
    since: Timestamp = Field(description="Since when it holds the key.")


class ConcurrencyKey(Model):
    """A concurrency key that jobs hold or wait for."""

    key: str = Field(description="The key.")
    limit: int = Field(description="How many jobs may hold it; where the jobs differ, the largest of their limits.")
    holding: int = Field(description="How many jobs hold it.")
    waiting: int = Field(description="How many jobs wait for it, without those whose `run_at` is still to come.")
    waiting_since: Timestamp | None = Field(description="Since when the oldest of them has waited.")
    holders: list[KeyHolder] = Field(description="The jobs that hold it: at most 10, those that hold it longest.")


class ConcurrencyQuery(PageQuery):
    """Paging, in the order of the keys."""

    key: str | None = Field(None, description="Only exactly this key.")


class KeyWait(Model):
    """What a job waits for."""

    key: str | None = Field(description="Its concurrency key; null if it waits for another job of its schedule.")
    limit: int = Field(description="How many jobs may hold the key, as far as this job is concerned.")
    holding: int = Field(description="How many jobs hold it.")
    holders: list[KeyHolder] = Field(description="The jobs that hold it: at most 10, those that hold it longest.")
    position: int | None = Field(description="Its position among those that wait, from 1; null before its `run_at`.")
    waiting: int = Field(description="How many jobs wait for the key.")
    summary: str = Field(description="The same in one sentence.")
