"""docs/pipelines.md lists every field of a step, and marks those that a job of a single command does not have."""

from __future__ import annotations

import re

from docs.generate import HERE
from schemas.rest.jobs import JobCreate
from schemas.specs import StepSpec

TABLE = (HERE / "pipelines.md").read_text().partition("## Fields of a step\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (`[^|]+) \| [^|]+ \| ([^|]*) \|$", TABLE, re.MULTILINE)
FIELDS = {field: text for names, text in ROWS for field in re.findall(r"`(\w+)`", names)}
WRITTEN = {info.alias or name for name, info in StepSpec.model_fields.items()}
"""The fields as a user writes them."""


def test_every_field_of_a_step_has_a_row() -> None:
    assert FIELDS.keys() == WRITTEN


def test_the_fields_that_only_steps_have_are_marked() -> None:
    marked = {field for field, text in FIELDS.items() if text.startswith("*step*")}

    assert marked == FIELDS.keys() - JobCreate.model_fields.keys() | {"name"}
