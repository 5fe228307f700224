"""All faults of a pipeline at once, and quickly."""

import contextlib
import time

import pytest

from orchestrator.domain.checking import MAX_FAULTS, check
from orchestrator.domain.graph import InvalidGraph
from schemas.params import ParamSpec
from schemas.steps import STEPS, Step
from tests.fixtures.pace import slowness

QUICK = 0.25
"""Seconds of CPU that the check of 1,000 steps may take; it takes about a tenth."""


def steps(*given: dict[str, object]) -> list[Step]:
    return STEPS.validate_python([one if "type" in one else {"command": "true", **one} for one in given])


def faults(*given: dict[str, object]) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(InvalidGraph) as caught:
        check(steps(*given))
    return [(fault.loc, fault.type) for fault in caught.value.faults]


def test_an_output_of_any_ancestor_may_be_used() -> None:
    text = "${{ steps.a.outputs.X }} ${{ steps.b.outputs.X }} ${{ params.anything }} ${{ job.id }} ${{ step.attempt }}"

    check(
        steps({"name": "c", "depends_on": ["b"], "env": {"V": text}}, {"name": "b", "depends_on": ["a"]}, {"name": "a"})
    )


def test_the_outputs_of_an_approval_are_the_inputs_that_it_declares() -> None:
    inputs = {"version": {"required": True}, "note": {}, "count": {"type": "integer", "default": 1}}
    ask: dict[str, object] = {"name": "ask", "type": "approval", "inputs": inputs}
    uses = "${{ steps.ask.outputs.version }} ${{ steps.ask.outputs.count }}"
    there = "has(steps.ask.outputs.note) && steps.ask.outputs.version == 'v1' && steps.ask.status == 'succeeded'"
    check(steps(ask, {"name": "a", "depends_on": ["ask"], "env": {"V": uses}, "if": there}))
    wrong = {"A": "${{ steps.ask.outputs.vresion }}", "B": "${{ steps.ask.outputs.note }}"}
    after = {"name": "a", "depends_on": ["ask"], "env": wrong, "if": "steps.ask.outputs.cuont == '1'"}
    with pytest.raises(InvalidGraph) as caught:
        check(steps(ask, after))
    found = {fault.loc[2:]: (fault.type, fault.msg) for fault in caught.value.faults}
    assert found["if",][0] == "unknown_output"
    assert found["if",][1].endswith("the approval 'ask' declares no input 'cuont'; did you mean count?")
    assert found["env", "A"] == (
        "unknown_output",
        "${{ steps.ask.outputs.vresion }}: the approval 'ask' declares no input 'vresion'; did you mean version?",
    )
    assert found["env", "B"][0] == "optional_input"


def test_all_faults_are_found_at_once() -> None:
    assert faults(
        {"name": "a", "env": {"V": "${{ steps.b.outputs.X }}"}},
        {"name": "b", "depends_on": ["a"], "if": "steps.c.status == 'succeeded' && steps.x.status == ''"},
        {"name": "c", "command": "echo ${{ params.x }}", "working_dir": "/${{"},
    ) == [
        (("steps", 0, "env", "V"), "not_an_ancestor"),
        (("steps", 1, "if"), "not_an_ancestor"),
        (("steps", 1, "if"), "unknown_step"),
        (("steps", 2, "working_dir"), "bad_expression"),
        (("steps", 2, "command"), "expression_not_allowed"),
    ]


def test_in_a_graph_with_faults_only_unknown_names_are_told() -> None:
    assert faults(
        {"name": "a", "depends_on": ["b"], "env": {"V": "${{ steps.c.outputs.X }} ${{ steps.y.outputs.X }}"}},
        {"name": "b", "depends_on": ["a"]},
        {"name": "c"},
    ) == [(("steps", 0, "depends_on"), "cycle"), (("steps", 0, "env", "V"), "unknown_step")]


def test_a_thousand_steps_are_checked_quickly() -> None:
    chain = steps(
        *(
            {
                "name": f"s{n}",
                "depends_on": [f"s{n - 1}", f"s{n // 2}"] if n > 2 else ["s0"] if n else [],
                "env": {"V": f"${{{{ steps.s{n // 3}.outputs.X }}}}"} if n else {},
                "if": f"steps.s{n // 4}.status == 'succeeded'" if n else None,
            }
            for n in range(1000)
        )
    )

    assert any(seconds(chain) < QUICK * slowness() for _ in range(3))


def test_a_pipeline_full_of_faults_is_checked_quickly_as_well() -> None:
    wrong = " ".join(f"${{{{ steps.{'abcdefhg' * 12}.outputs.X{n} }}}}" for n in range(100))
    full = steps(*({"name": f"{n:03}-{'abcdefgh' * 12}", "env": {"V": wrong}} for n in range(1000)))

    assert any(seconds(full) < 1 * slowness() for _ in range(3))
    assert len(faults(*({"name": f"s{n}", "env": {"V": "${{"}} for n in range(100)))) == MAX_FAULTS


def test_a_parameter_that_a_job_may_be_without_has_no_value_for_an_expression() -> None:
    declared = {"a": ParamSpec(), "b": ParamSpec(default=""), "c": ParamSpec(required=True)}
    used = steps({"name": "x", "env": {name: f"${{{{ params.{name} }}}}" for name in "abcd"}})

    with pytest.raises(InvalidGraph) as caught:
        check(used, declared)
    assert [(fault.loc[-1], fault.type) for fault in caught.value.faults] == [
        ("a", "optional_param"),
        ("d", "unknown_param"),
    ]


def test_the_conditions_of_a_pipeline_are_bounded_together() -> None:
    long = "params.a == '" + "x" * 1980 + "'"

    assert faults(*({"name": f"s{n}", "if": long} for n in range(60))) == [(("steps", 50, "if"), "too_long")]


def seconds(pipeline: list[Step]) -> float:
    begun = time.process_time()
    with contextlib.suppress(InvalidGraph):
        check(pipeline)
    return time.process_time() - begun
