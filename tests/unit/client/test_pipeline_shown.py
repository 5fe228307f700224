"""`hodei pipelines show`: the parameters and the matrices of a pipeline, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hodei.pipelines import print_pipeline
from schemas.rest.pipelines import Pipeline, PipelineCreate


def test_parameters_and_matrices_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made = PipelineCreate.model_validate(
        {
            "name": "check",
            "params": {
                "version": {"required": True},
                "stage": {"type": "choice", "choices": ["dev", "prod"], "default": "dev"},
                "dry": {"type": "boolean", "default": False},
            },
            "steps": [{"name": "test", "command": "make", "matrix": {"python": ["3.11"], "os": ["debian"]}}],
        }
    )
    moment = datetime.now(UTC)
    own = {"id": "p", "status": "active", "version": 1, "created_at": moment, "updated_at": moment}
    print_pipeline(Pipeline.model_validate(made.model_dump(by_alias=True) | own))
    out = capsys.readouterr().out
    assert "params   version (string, required), stage (one of dev, prod, by default dev), " in out
    assert "dry (boolean, by default false)" in out
    assert "for each python and os: make" in out
