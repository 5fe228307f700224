"""The pipelines in examples/ and in docs/pipelines.md have no errors, and every example is listed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from docs.generate import HERE
from orchestrator.domain.checking import check
from orchestrator.domain.document import read_document
from orchestrator.domain.graph import InvalidGraph
from schemas.rest.pipelines import PipelineCreate
from schemas.specs import StepSpec
from schemas.steps import ApprovalStep

EXAMPLES = HERE.parent / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
PAGE = (HERE / "pipelines.md").read_text()
BLOCKS = re.findall(r"^```(yaml|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _pipelines() -> Iterator[Any]:
    """The pipelines of the page as texts. A step that is shown alone gets the steps that it depends on."""
    for number, (kind, text) in enumerate(BLOCKS):
        if all(line.startswith("#") for line in text.splitlines()):
            continue
        if kind == "json" and "steps" not in (step := json.loads(text)):
            before = [{"name": name, "command": "true"} for name in step.get("depends_on", ())]
            text = json.dumps({"name": "of-one-step", "steps": [*before, step]})
        yield pytest.param(text, id=f"{kind}-{number}")


def checked(text: str) -> PipelineCreate:
    """The pipeline of a text. Raises BadText, ValidationError and InvalidGraph."""
    pipeline = PipelineCreate.model_validate_json(to_json(read_document(text).fields), strict=True)
    check(pipeline.steps, pipeline.params, pipeline.concurrency_key)
    return pipeline


@pytest.mark.parametrize("text", list(_pipelines()))
def test_the_pages_pipelines_have_no_errors(text: str) -> None:
    assert checked(text).steps


def test_the_pages_pipelines_are_found() -> None:
    assert len(BLOCKS) > 5
    with pytest.raises(InvalidGraph, match="no step has that name"):
        checked("name: x\nsteps: {a: {command: x, needs: b}}")


def test_every_field_has_an_example_on_the_page() -> None:
    models: list[type[BaseModel]] = [StepSpec, ApprovalStep, PipelineCreate]
    fields = {info.alias or name for model in models for name, info in model.model_fields.items()}
    shown = "\n".join(text for _, text in BLOCKS)

    assert [field for field in sorted(fields) if not re.search(rf'(?<!\w){field}"?:', shown)] == []


@pytest.mark.parametrize("name", FILES)
def test_an_example_has_no_errors_and_its_files_name(name: str) -> None:
    pipeline = checked((EXAMPLES / name).read_text())

    assert pipeline.name == Path(name).stem
    assert pipeline.description


@pytest.mark.parametrize("page", [EXAMPLES / "README.md", HERE / "pipelines.md"], ids=["examples", "docs"])
def test_a_page_lists_every_example(page: Path) -> None:
    assert FILES
    assert [name for name in FILES if name not in page.read_text()] == []
