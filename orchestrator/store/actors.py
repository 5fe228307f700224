"""Who did something, as JSON, as pipelines and jobs have it."""

from functools import lru_cache
from typing import Any

from schemas.access import Actor


def read_actor(value: Any) -> Actor | None:
    """The token in a parsed column."""
    return None if value is None else Actor.model_validate(value)


def write_actor(actor: Actor | None) -> str | None:
    """The token as a column; null with access off."""
    return None if actor is None else _written(actor.id, actor.name)


@lru_cache(maxsize=1024)
def _written(id: str, name: str) -> str:
    return Actor(id=id, name=name).model_dump_json()
