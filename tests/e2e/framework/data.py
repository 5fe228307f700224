"""Data for tests: jobs and pipelines with names of their own, so that tests in parallel never meet."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import PipelineCreate
from schemas.specs import StepSpec

_count: Iterator[int] = itertools.count()


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{next(_count)}-{uuid.uuid4().hex[:8]}"


def command_job(command: str | list[str], **fields: object) -> JobCreate:
    """A job of one command; a list is run as it is."""
    kind = {"type": "exec"} if isinstance(command, list) else {}
    return JobCreate.model_validate({"command": command, "name": unique("job"), **kind, **fields})


def step(name: str, command: str | list[str] = "true", *after: str, **fields: object) -> StepSpec:
    """A step that runs `command` after the named steps."""
    return StepSpec.model_validate({"name": name, "command": command, "depends_on": list(after), **fields})


def pipeline(*steps: StepSpec, **fields: object) -> PipelineCreate:
    """A pipeline of these steps."""
    return PipelineCreate.model_validate({"name": unique("pipeline"), "steps": list(steps), **fields})


def diamond(top: str = "true", left: str = "true", right: str = "true", bottom: str = "true") -> PipelineCreate:
    """top → left, right → bottom."""
    return pipeline(
        step("top", top),
        step("left", left, "top"),
        step("right", right, "top"),
        step("bottom", bottom, "left", "right"),
    )
