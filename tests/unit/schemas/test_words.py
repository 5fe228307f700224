"""Every regular expression that a value may be refused by has words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.rest.job_filters import JobDeletion, JobQuery
from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import PipelineCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import RegisteredWorkerQuery, WorkerRegister, WorkerStart
from schemas.words import PATTERNS, what_would_be_right

MODELS = (
    JobCreate, JobDeletion, JobQuery, PipelineCreate, ScheduleCreate,
    WorkerRegister, WorkerStart, RegisteredWorkerQuery,
)  # fmt: skip


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key == "patternProperties":
                yield from value
            yield from _patterns(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _patterns(one)


@pytest.mark.parametrize("model", MODELS)
def test_every_pattern_has_words(model: type[Any]) -> None:
    assert set(_patterns(TypeAdapter(model).json_schema())) <= set(PATTERNS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"command": "true", "requires": {"a b": "c"}}, "is not a label's key, which begins with a letter or a digit"),
        ({"command": "true", "timeout": "5"}, "should be a number"),
        ({"command": "true", "retry": {"max_attempts": 1.5}}, "should be a whole number"),
        ({"command": "true", "labels": []}, "should be an object"),
        ({"command": "true", "name": ""}, "must not be empty"),
        ({"command": "true", "name": "x" * 201}, "should have at most 200 characters"),
        ({"command": ["x"] * 1001}, "should have at most 1000 items, not 1001"),
        ({"command": "true", "retry_on_lost": "no"}, "should be true or false"),
    ],
)
def test_an_error_says_what_would_be_right(value: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobCreate.model_validate(value, strict=True)
    assert what_would_be_right(caught.value.errors()[0]).startswith(words)
