"""What the command line writes as YAML, the orchestrator reads as the same values; and it is pleasant to read."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hodei.definitions import text_of
from hodei.yaml_text import to_yaml
from orchestrator.domain.document import read_document
from orchestrator.domain.yaml_text import read
from schemas.rest.pipelines import PipelineCreate

WORDS = [
    "no", "On", "y", "NULL", "~", "true", "0o17", "017", "1_000", "12:30", "1e3", ".5", "2026-01-01", "<<", "=", "-",
    "- a", "? a", "a: b", "a #b", "#a", "a:", "a ", " a", "@a", "`a`", "%a", "&a", "*a", "!a", "|", ">", "[a]",
    "{a: b}", "a, b", "'a'", '"a"', "a\nb", "a\nb\n", "\na", "a\n\n", "a\n  b\n", " a\nb", "a \nb", "\ta\nb", "a\n\tb",
    "a\r\nb", "a\x07b", "\x85", "\u2028", "\ufeffa", "é", "😀", "\x7f", "\\", "a\\nb", "", " ", "---", "...",
    "--- a\n--- b", "./run.sh -x", "/bin/sh", "$((1 + 2))", "${{ steps.a.outputs.B }}", "a\xa0b", "x" * 900,
    "key: |\n  b", "a?", "a?b", "\U0001f3f4\U000e0067",
]  # fmt: skip
texts = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts.map(lambda text: text[:200]), inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(texts.map(lambda text: text[:200]), values, min_size=1, max_size=5))
def test_every_value_comes_back(fields: dict[str, object]) -> None:
    assert read(to_yaml(fields)).plain() == fields


@pytest.mark.parametrize("text", WORDS)
def test_every_text_is_the_same_for_readers_of_yaml_1_1(text: str) -> None:
    assert yaml.safe_load(to_yaml({"a": text, "b": [text], "c": [[text, {"d": text}]], "k": {"e": text}})) == {
        "a": text, "b": [text], "c": [[text, {"d": text}]], "k": {"e": text},
    }  # fmt: skip


slugs = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
names = st.text(string.ascii_uppercase + "_", min_size=1, max_size=6)
printable = texts.map(lambda text: text[:200]).filter(lambda text: text.isprintable() and bool(text.strip()))


@st.composite
def pipelines(draw: st.DrawFn) -> PipelineCreate:
    """Valid pipelines: steps that depend on earlier ones, with any texts."""
    steps: list[dict[str, object]] = []
    for name in draw(st.lists(slugs, unique=True, max_size=5)):
        before = [step["name"] for step in steps]
        step: dict[str, Any] = {
            "name": name,
            "command": draw(
                texts.filter(str.strip) | st.lists(texts, min_size=1, max_size=3).filter(lambda one: one[0])
            ),
            "type": draw(st.sampled_from(["shell", "bash", "python"])),
            "env": draw(st.dictionaries(names, texts, max_size=3)),
            "labels": draw(st.dictionaries(slugs, printable, max_size=2)),
            "timeout": draw(st.none() | st.floats(0.001, 1e6)),
            "depends_on": draw(st.lists(st.sampled_from(before), unique=True)) if before else [],
            "retry": draw(st.none() | st.fixed_dictionaries({}, optional={"max_attempts": st.integers(1, 9)})),
            "resources": draw(st.none() | st.fixed_dictionaries({}, optional={"cpu_m": st.integers(0, 9)})),
            "retry_on_lost": draw(st.booleans()),
        }
        if draw(st.booleans()):
            step["matrix"] = {"os": draw(st.lists(printable, min_size=1, max_size=2, unique=True)), "level": [1, 2]}
            step["matrix"] |= draw(st.fixed_dictionaries({}, optional={"fail_fast": st.booleans()}))
            step["matrix"] |= draw(st.just({}) | st.just({"exclude": [{"level": 2}], "max_parallel": 1}))
        steps.append(step | ({"when": draw(st.sampled_from(["always", "on_failure"]))} if step["depends_on"] else {}))
    declared = st.fixed_dictionaries({"type": st.just("number"), "default": st.floats(0, 9) | st.just(1.0)}) | (
        st.fixed_dictionaries({"type": st.just("choice"), "choices": st.lists(texts, min_size=1, unique=True)})
    )
    if steps and draw(st.booleans()):
        asks = {"name": "ask-" + str(steps[0]["name"]), "type": "approval", "message": draw(printable), "timeout": 60}
        asks["inputs"] = {"version": {"pattern": "v[0-9]+"}, "count": {"type": "integer", "default": 2}}
        steps.append(asks | {"depends_on": [steps[0]["name"]]})
    fields = {
        "params": draw(st.dictionaries(names, declared, max_size=2)),
        "name": draw(printable),
        "description": draw(st.none() | texts),
        "steps": steps,
    }
    return PipelineCreate.model_validate(fields | {"env": draw(st.dictionaries(names, texts, max_size=3))})


@given(pipelines())
def test_a_pipeline_that_is_exported_comes_back_without_loss(pipeline: PipelineCreate) -> None:
    assert PipelineCreate.model_validate(read_document(text_of(pipeline)).fields) == pipeline


def test_what_has_its_default_is_left_out_and_the_rest_is_pleasant_to_read() -> None:
    pipeline = PipelineCreate.model_validate(
        {
            "name": "nightly build",
            "timeout": 3600,
            "cleanup_timeout": 60,
            "steps": [
                {
                    "name": "fetch",
                    "command": "git pull --rebase",
                    "type": "shell",
                    "when": "on_success",
                    "matrix": {"python": ["3.11", "3.12"], "level": [1.0, 2], "max_parallel": 1, "fail_fast": True},
                },
                {"name": "3.11", "command": ["make", "check"], "depends_on": ["fetch"], "retry": {"max_attempts": 3}},
                {
                    "name": "report",
                    "command": "set -e\nif true; then\n  echo yes: done\nfi\n",
                    "depends_on": ["fetch", "3.11"],
                    "when": "always",
                    "if": "job.id != ''",
                    "env": {"ANSWER": "no", "NUMBER": "1.10", "URL": "http://a/b#c"},
                    "requires": {"type": "x"},
                },
            ],
        }
    )
    assert (
        text_of(pipeline)
        == """\
name: nightly build
timeout: 3600
steps:
  fetch:
    command: git pull --rebase
    matrix:
      python: ["3.11", "3.12"]
      level: [1.0, 2]
      max_parallel: 1
  "3.11":
    depends_on: [fetch]
    command: [make, check]
    retry:
      max_attempts: 3
  report:
    depends_on: [fetch, "3.11"]
    when: always
    if: job.id != ''
    command: |
      set -e
      if true; then
        echo yes: done
      fi
    env:
      ANSWER: "no"
      NUMBER: "1.10"
      URL: http://a/b#c
    requires:
      type: x
"""
    )


def test_the_limit_of_a_concurrency_key_is_written_with_its_defaults() -> None:
    step = {"name": "ship", "command": "make"}
    pipeline = PipelineCreate.model_validate(
        {"name": "deploy", "concurrency_key": "deploy", "concurrency": {"limit": 1}, "steps": [step]}
    )
    text = text_of(pipeline)
    assert yaml.safe_load(text)["concurrency"] == {"limit": 1, "when_full": "queue"}
    assert PipelineCreate.model_validate(read_document(text).fields) == pipeline
