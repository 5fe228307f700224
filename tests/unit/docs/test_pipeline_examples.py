"""The examples of pipelines in docs/pipelines.md are pipelines: for the orchestrator, and for an editor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.domain.checking import check
from orchestrator.domain.document import read_document
from orchestrator.domain.pipeline_schema import pipeline_schema
from orchestrator.domain.yaml_text import read
from schemas.rest.pipelines import PipelineCreate, PipelinePlanRequest, PipelineText

PAGE = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text()
BLOCKS = re.findall(r"^```(?:yaml|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [block for block in BLOCKS if re.search(r"^ *\"?steps\"?:", block, re.MULTILINE)]
OF_MODELS = [
    model.model_config["json_schema_extra"]["examples"][0]["yaml"]  # type: ignore[index,call-overload]
    for model in (PipelineText, PipelinePlanRequest)
]


def test_there_are_examples_in_both_forms() -> None:
    assert {example[0] for example in EXAMPLES} == {"{", "n"}


@pytest.mark.parametrize("example", [*EXAMPLES, *OF_MODELS])
def test_an_example_is_a_pipeline(example: str) -> None:
    fields = read_document(example).fields
    pipeline = PipelineCreate.model_validate(fields)
    check(pipeline.steps, pipeline.params)
    Draft202012Validator(pipeline_schema()).validate(read(example).plain())
