"""The ids that a person types: complete ones, or short ids, their last 8 characters.

The first characters of a UUIDv7 are its time, which all ids of the same minute share; the last ones are random.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from hodei.client import Client, ClientError
from schemas.ids import is_id
from schemas.rest.pipelines import Pipeline, PipelineStatus

SHORT: Final = re.compile(r"[0-9a-f]{8}")
SHOWN_AT_MOST: Final = 10
LOOKED_AT: Final = 10_000


class NoSuchId(ClientError):
    """No id ends with these characters, or several do."""


async def whole_job_id(client: Client, text: str) -> str:
    """The id of the job that `text` stands for; see `whole_id`."""
    short = _short(text)
    jobs = client.jobs(short_id=short, limit=SHOWN_AT_MOST)
    return await whole_id("job", text, ((job.id, f"{job.status.value}  {job.name}") async for job in jobs))


async def whole_worker_id(client: Client, text: str) -> str:
    """The id of the worker that `text` stands for; see `whole_id`."""
    workers = client.registered_workers(limit=LOOKED_AT)
    return await whole_id("worker", text, ((one.id, f"{one.status.value}  {one.name}") async for one in workers))


async def whole_token_id(client: Client, text: str) -> str:
    """The id of the token with this id, end of an id, or name, if it is active. Raises NoSuchId, which lists several
    that match, and ClientError."""
    text = text.strip()
    if not text:
        raise NoSuchId("the name or the id of a token is needed; this one is empty")
    if is_id(text):
        return text
    found = {one.id: one async for one in client.tokens(name=text, state="active", limit=SHOWN_AT_MOST + 1)}
    if (short := _short(text)) is not None:
        found |= {one.id: one async for one in client.tokens(limit=LOOKED_AT) if one.id.endswith(short)}
    if not found:
        also = f", and none whose id ends with {short}" if short else ""
        raise NoSuchId(f"there is no active token with the name {text!r}{also}")
    if len(found) > 1:
        listed = "".join(f"\n  {one.id}  {one.role}  {one.name}" for one in list(found.values())[:SHOWN_AT_MOST])
        raise NoSuchId(f"several tokens are {text!r}; give the id of one:{listed}")
    return next(iter(found))


async def pipeline_filter(client: Client, text: str | None) -> str | None:
    """A filter by the id or the name of a pipeline, even an archived one. The end of an id is made whole. Several
    pipelines may have the name. Raises NoSuchId if there is none, and ClientError."""
    if text is None or is_id(text):
        return text
    statuses: tuple[PipelineStatus, ...] = ("active", "archived")
    for status in statuses:
        async for one in client.pipelines(name=text, status=status, limit=LOOKED_AT):
            if one.name == text:  # of a text with a * at the end, the list has all with this beginning
                return text
    short = _short(text)
    if short is None:
        raise NoSuchId(f"there is no pipeline with the name {text!r}")
    return await whole_id("pipeline", text, _pipelines(client, statuses))


async def _pipelines(client: Client, statuses: Sequence[PipelineStatus]) -> AsyncIterator[tuple[str, str]]:
    for status in statuses:
        async for one in client.pipelines(status=status, limit=LOOKED_AT):
            yield one.id, one.name


async def whole_pipeline(client: Client, text: str, version: int | None = None) -> Pipeline:
    """The pipeline with this name, id, or end of an id. Raises NoSuchId, which lists several that match, and
    ClientError."""
    if not is_id(text.strip()):
        named = [one async for one in client.pipelines(name=text, limit=SHOWN_AT_MOST + 1)]
        if len(named) > 1:
            listed = "".join(f"\n  {one.id}" for one in named[:SHOWN_AT_MOST])
            raise NoSuchId(f"several pipelines have the name {text!r}; give the id of one:{listed}")
        if not named and not SHORT.fullmatch(text.strip().lower()):
            raise NoSuchId(f"there is no pipeline with the name {text!r}")
        every = client.pipelines(limit=LOOKED_AT)
        text = named[0].id if named else await whole_id("pipeline", text, ((one.id, one.name) async for one in every))
    if version is not None:
        return await client.pipeline_version(text.strip(), version)
    return await client.pipeline(text.strip())


async def whole_id(kind: str, text: str, candidates: AsyncIterator[tuple[str, str]]) -> str:
    """The id among `candidates` (each with a few words about it) that ends with `text`.

    A text other than 8 hexadecimal digits is returned unchanged, and no candidate is read. Raises NoSuchId, whose
    message lists the matches of an ambiguous text, and ClientError.
    """
    short = _short(text)
    if not text.strip():
        raise NoSuchId(f"the id of a {kind} is needed, or its last 8 characters; this one is empty")
    if short is None:
        return text.strip()
    found = [(id, described) async for id, described in candidates if id.endswith(short)]
    if len(found) == 1:
        return found[0][0]
    if not found:
        raise NoSuchId(f"there is no {kind} whose id ends with {short}")
    listed = "".join(f"\n  {id}  {described}" for id, described in found[:SHOWN_AT_MOST])
    raise NoSuchId(f"the ids of several {kind}s end with {short}; give one of these:{listed}")


def _short(text: str) -> str | None:
    short = text.strip().lower()
    return short if SHORT.fullmatch(short) else None
