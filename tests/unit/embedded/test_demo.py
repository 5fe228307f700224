"""What `hodei demo` runs, and what it says when it cannot."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hodei import demo
from schemas.rest.pipelines import PipelineCreate

ROOT = Path(__file__).parents[3]


def test_the_example_is_a_pipeline_and_comes_with_the_package() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]

    assert PipelineCreate.model_validate_json(demo.EXAMPLE.read_bytes()).steps
    assert demo.EXAMPLE.parent == Path(demo.__file__).parent
    assert any(demo.EXAMPLE.match(pattern) for pattern in packed)
    assert f"]({demo.EXAMPLE.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (b"\xff", "Invalid JSON"), (b"{}", "name")])
def test_a_pipeline_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, says: str
) -> None:
    file = tmp_path / "pipeline.json"
    if content is not None:
        file.write_bytes(content)

    assert demo.run(file) == 1

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(file) in err
    assert says in err
