"""Expressions in the fields of a step: what is refused, and what their values become."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import expressions
from orchestrator.domain.expressions import BadExpression, Reference, Template, parse, render, rendered
from orchestrator.domain.scope import Scope, StepView, Values
from schemas.params import Scalar
from schemas.specs import RunSpec, StepType

SCOPE = Scope(
    "deploy", steps=["build", "test", "lint", "deploy"], ancestors=["build", "test"], params=["env"], axes=["os"]
)
HOSTILE = [
    'a"b', "it's", "$(touch /tmp/owned)", "`id`", "; rm -rf /", "a\nb", "\\", "${{ params.env }}", "$${{", "$V", "%s",
    "*", "~", "", " ", "-rf", "\t", "é😀", "&& true || false", "\x1b[31m", "x" * 65_536,
]  # fmt: skip


@dataclass(frozen=True)
class S:
    command: str | list[str] = "true"
    type: str = "shell"
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None


def values(
    outputs: Mapping[str, str] | None = None, *, status: str = "succeeded", params: Mapping[str, Scalar] | None = None
) -> Values:
    view = StepView(status, outputs or {})
    return Values(
        "job-1",
        attempt=3,
        params=params or {},
        matrix={"os": "debian", "python": 3.12},
        view=lambda name: view if name in ("build", "v1.2-rc") else None,
    )


def faults(step: S, scope: Scope = SCOPE) -> list[tuple[tuple[str | int, ...], str]]:
    return [(fault.loc, fault.type) for fault in expressions.faults(step, ("steps", 2), scope)]


def message(step: S, scope: Scope = SCOPE) -> str:
    [fault] = expressions.faults(step, ("steps", 2), scope)
    return fault.msg


# ------------------------------------------------------------------ reading


def test_a_template_is_text_and_references() -> None:
    template = parse("v${{ steps.build.outputs.VERSION }}-${{params.env}}")

    assert template == Template((
        "v",
        Reference("output", "VERSION", "build", "steps.build.outputs.VERSION", 1),
        "-",
        Reference("param", "env", "", "params.env", 36),
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${{ steps.build.outputs.V }}", "1"),
        ("${{ steps.v1.2-rc.outputs.V }}", "1"),
        ("${{\n params.env\t}}", "prod"),
        ("${{ params.count }} ${{ params.dry }}", "5 true"),
        ("[${{ matrix.only_in_other_tasks }}]", "[]"),
        ("${{ matrix.os }} ${{ matrix.python }}", "debian 3.12"),
        ("${{ job.id }}/${{ step.attempt }}", "job-1/3"),
        ("$${{ params.env }}", "${{ params.env }}"),
        ("$$${{ params.env }}", "$${{ params.env }}"),
        ("${{ params.env }}}", "prod}"),
        ("$ {{ }} $( ${x} {{ y }}", "$ {{ }} $( ${x} {{ y }}"),
        ("", ""),
    ],
)
def test_a_template_with_its_values(text: str, result: str) -> None:
    assert render(text, values({"V": "1"}, params={"env": "prod", "count": 5, "dry": True})) == result


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${{ }}", "the expression is empty"),
        ("${{ params.env", "has no '}}'"),
        ("a ${{ params }}", r"'params' is not an expression \(character 3\); it is written params.NAME"),
        ("${{ steps.build.VERSION }}", "an output is written steps.NAME.outputs.NAME"),
        ("${{ steps.build.outputs.1 }}", "an output is written"),
        ("${{ job.name }}", "it is written job.id"),
        ("${{ env.X }}", "valid are steps.NAME.outputs.NAME, params.NAME, matrix.AXIS, job.id, step.attempt"),
        ("${{ params.a + params.b }}", "is not an expression"),
        ("${{ params.a ${{ params.b }} }}", "is not an expression"),
        ("${{ " + "x" * 400 + " }}", "within 300 characters"),
        ("${{ job.id }}" * 201, "more than 200 expressions"),
    ],
)
def test_what_is_not_an_expression_is_refused_with_what_would_be_right(text: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why):
        parse(text)


# ------------------------------------------------------------------ checks


def test_each_fault_names_its_field() -> None:
    step = S(
        ["deploy", "${{ steps.lint.outputs.X }}", "${{ params.env }}"],
        env={"A": "${{ steps.bild.outputs.X }}", "B": "${{ params.nev }} ${{ matrix.oss }}", "C": "${{"},
        working_dir="/srv/${{ steps.deploy.outputs.X }}",
    )

    assert faults(step) == [
        (("steps", 2, "env", "A"), "unknown_step"),
        (("steps", 2, "env", "B"), "unknown_param"),
        (("steps", 2, "env", "B"), "unknown_axis"),
        (("steps", 2, "env", "C"), "bad_expression"),
        (("steps", 2, "working_dir"), "not_an_ancestor"),
        (("steps", 2, "command", 1), "not_an_ancestor"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${{ steps.bild.outputs.X }}", "no step has the name 'bild'; did you mean build?"),
        ("${{ steps.lint.outputs.X }}", "add 'lint' to depends_on"),
        ("${{ steps.deploy.outputs.X }}", "refers to itself"),
        ("${{ params.nev }}", "declares no parameter 'nev'; did you mean env?"),
        ("${{ params.zzzzz }}", "valid are env"),
        ("${{ matrix.oss }}", "has no axis 'oss'; did you mean os?"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(text: str, why: str) -> None:
    assert why in message(S(env={"A": text}))


def test_without_declarations_any_parameter_may_be_named() -> None:
    assert faults(S(env={"A": "${{ params.anything }}"}), Scope("a", ["a"], [])) == []


def test_a_step_without_a_matrix_has_no_axes() -> None:
    assert "has no matrix" in message(S(env={"A": "${{ matrix.os }}"}), Scope("a", ["a"], []))


@pytest.mark.parametrize(
    ("step", "use"),
    [
        (S("echo ${{ params.env }}"), 'and "$V"'),
        (S("echo ${{ params.env }}", "bash"), 'and "$V"'),
        (S("print('${{ params.env }}')", "python"), 'os.environ["V"]'),
        (S("echo ${{ params.env }}", "exec"), "a list of arguments"),
    ],
)
def test_an_expression_in_a_command_string_is_refused_with_what_to_write(step: S, use: str) -> None:
    fault = message(step)

    assert "write env: {V: ${{ … }}}" in fault
    assert use in fault
    assert faults(step) == [(("steps", 2, "command"), "expression_not_allowed")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["sh", "-c"], ["x"]),
        (["/bin/bash", "-o", "pipefail", "-lc"], []),
        (["env", "A=1", "timeout", "5", "sh", "-ec"], []),
        (["busybox", "sh", "-c"], []),
        (["python3", "-W", "ignore", "-c"], []),
        (["perl", "-ne"], ["file"]),
        (["node", "--eval"], []),
    ],
)
@pytest.mark.parametrize("kind", ["shell", "exec"])
def test_an_expression_in_a_program_among_the_arguments_is_refused(
    before: list[str], after: list[str], kind: StepType
) -> None:
    step = S([*before, "echo ${{ params.env }}", *after], kind)

    assert faults(step) == [(("steps", 2, "command", len(before)), "expression_not_allowed")]
    assert "in an argument that an interpreter runs" in message(step)
    assert faults(S([*before, 'echo "$1"', "x", "${{ params.env }}"])) == []


@pytest.mark.parametrize(
    "before",
    [["bash", "-e"], ["bash", "deploy.sh", "-c"], ["python3", "-m", "pytest", "-c"], ["grep", "-e"], ["./sh.py", "-c"]],
)
def test_arguments_of_a_program_of_its_own_take_expressions(before: list[str]) -> None:
    assert faults(S([*before, "${{ params.env }}"])) == []


def test_lines_of_python_are_source_as_well() -> None:
    step = S(["import os", "print('${{ params.env }}')"], "python")

    assert faults(step) == [(("steps", 2, "command", 1), "expression_not_allowed")]


def test_an_escaped_expression_may_stand_anywhere() -> None:
    assert faults(S("echo '$${{ x }}'", env={"A": "$${{ x }}"})) == []
    assert rendered(RunSpec(command="echo '$${{ x }}'"), values()).command == "echo '${{ x }}'"
    assert rendered(RunSpec(command=["$${{ x }}"], type="python"), values()).command == ["${{ x }}"]


@pytest.mark.parametrize(
    ("step", "needed"),
    [
        (S("true"), False),
        (S(env={"A": "${{ job.id }}"}), True),
        (S(working_dir="/${{ job.id }}"), True),
        (S(["a", "${{ job.id }}"]), True),
        (S("echo $${{"), True),
    ],
)
def test_only_steps_with_expressions_are_rendered(step: S, needed: bool) -> None:
    assert expressions.has_expressions(step) is needed


# ------------------------------------------------------------------ values


def test_a_skipped_step_has_empty_outputs() -> None:
    assert render("[${{ steps.build.outputs.V }}]", values(status="skipped")) == "[]"


def test_a_failed_step_has_the_outputs_that_it_wrote() -> None:
    text = "[${{ steps.build.outputs.V }}${{ steps.build.outputs.W }}]"

    assert render(text, values({"V": "1"}, status="failed")) == "[1]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${{ steps.build.outputs.VERSON }}", "succeeded without the output 'VERSON'; did you mean VERSION?"),
        ("${{ steps.gone.outputs.V }}", "the job has no step 'gone'"),
        ("${{ params.env }}", "the job has no parameter 'env'"),
    ],
)
def test_a_reference_without_a_value_is_an_error(text: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why.replace("?", r"\?")):
        render(text, values({"VERSION": "1"}))


def test_the_result_is_bounded_before_it_is_made() -> None:
    with pytest.raises(BadExpression, match="more than 1,000 characters"):
        render("${{ params.env }}" * 100, values(params={"env": "x" * 900}), most=1000)


any_text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None, categories=None)),  # type: ignore[arg-type]  # None is every category
    st.lists(st.sampled_from(["${{", "}}", "$", "params.env", " ", "'", '"', "\n", "\0", "\ud800"])).map("".join),
)


@given(any_text)
def test_a_value_is_passed_on_unchanged_and_never_read_again(value: str) -> None:
    given = values({"V": value}, params={"env": value})

    assert render("${{ steps.build.outputs.V }}|${{ params.env }}", given) == f"{value}|{value}"


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=200))
def test_values_reach_the_environment_the_folder_and_the_arguments_unchanged(value: str) -> None:
    text = "${{ params.env }}"
    run = RunSpec(command=["printf", "%s", text], type="exec", env={"V": text}, working_dir=f"/{text}")
    new = rendered(run, values(params={"env": value}))

    assert (new.argv(), new.env, new.working_dir) == (["printf", "%s", value], {"V": value}, f"/{value}")


@pytest.mark.parametrize("kind", ["shell", "bash", "exec"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_hostile_value_is_one_argument_and_never_syntax(kind: StepType, value: str) -> None:
    run = rendered(
        RunSpec(command=["printf", "<%s>", "${{ params.env }}", "end"], type=kind), values(params={"env": value})
    )

    assert subprocess.run(run.argv(), capture_output=True, check=True).stdout == f"<{value}><end>".encode()


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_hostile_value_in_a_variable_is_never_syntax(value: str) -> None:
    run = rendered(RunSpec(command='printf "%s" "$V"', env={"V": "${{ params.env }}"}), values(params={"env": value}))

    done = subprocess.run(run.argv(), env=run.env, capture_output=True, check=True)
    assert done.stdout == value.encode()


# ------------------------------------------------------------------ what a process cannot be given


@pytest.mark.parametrize(
    ("run", "value", "why"),
    [
        (RunSpec(command="true", env={"V": "${{ params.env }}"}), "a\0b", r"env.V: the value of params.env has a NUL"),
        (RunSpec(command="true", env={"V": "${{ params.env }}"}), "\ud800", "env.V: .* is not valid Unicode"),
        (RunSpec(command="true", env={"V": "${{ params.env }}"}), "x" * 131_100, r"env: .* V takes 131,103 bytes"),
        (RunSpec(command="true", env={"V": "${{ params.env }}"}), "é" * 65_536, r"env: .* V takes 131,075 bytes"),
        (RunSpec(command=["a", "${{ params.env }}"], type="exec"), "x" * 131_072, "an argument takes 131,072 bytes"),
        (RunSpec(command=["a", "${{ params.env }}"]), "'" * 60_000, "an argument takes .* bytes"),
        (RunSpec(command=["${{ params.env }}"], type="exec"), "", "names no program"),
        (RunSpec(command="true", working_dir="${{ params.env }}"), "", "working_dir: .* is empty"),
        (RunSpec(command="true", working_dir="/${{ params.env }}"), "x" * 4095, "working_dir: .* takes 4,096 bytes"),
        (
            RunSpec(command="true", env={f"V{n}": "${{ params.env }}" for n in range(30)}),
            "x" * 65_536,
            "its variables and arguments take 1,966,460 bytes",
        ),
    ],
)
def test_what_a_process_cannot_be_given_is_an_error_that_names_the_field(run: RunSpec, value: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why) as caught:
        rendered(run, values(params={"env": value}))
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
