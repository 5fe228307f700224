"""Conditions: what is refused, what they are worth, and that none takes long."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import cel, conditions
from orchestrator.domain.conditions import Budget, ConditionError
from orchestrator.domain.definition import of_steps
from orchestrator.domain.making import begin
from orchestrator.domain.run import JobRun
from orchestrator.domain.scope import Scope, StepView, Values
from orchestrator.domain.wanted import Wanted
from schemas.params import Scalar
from schemas.specs import StepSpec
from schemas.states import Reason, TaskStatus
from tests.fixtures.pace import slowness

SCOPE = Scope(
    "deploy", steps=["build", "unit-test", "lint", "deploy"], ancestors=["build", "unit-test"], params=["env", "count"]
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAVY = 'params.x.matches("a.{60}b@")'
LONGEST = 0.05
"""Seconds of CPU that one condition may take."""


def values(params: Mapping[str, Scalar] | None = None, outputs: Mapping[str, str] | None = None) -> Values:
    view = StepView("succeeded", outputs or {})
    return Values(
        "job-1",
        "nightly",
        "high",
        params=params or {},
        view=lambda name: view if name in ("build", "unit-test") else None,
    )


def evaluate(text: str, given: Values) -> bool:
    return conditions.evaluate(text, given, Budget())


def faults(text: str) -> list[str]:
    found = conditions.faults(text, ("steps", 3, "if"), SCOPE)
    assert {fault.loc for fault in found} <= {("steps", 3, "if")}
    assert all(fault.msg.isprintable() for fault in found)
    return [fault.type for fault in found]


def message(text: str) -> str:
    [fault] = conditions.faults(text, ("steps", 3, "if"), SCOPE)
    return fault.msg


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('params.env == "prod"', True),
        ('params["env"] in ["prod", "stage"]', True),
        ("params.count > 2 && params.count < 5", True),
        ('steps.build.status == "succeeded"', True),
        ('steps["unit-test"].status == "failed"', False),
        ('steps.build.outputs.V == "1"', True),
        ('steps["build"].outputs["V"].startsWith("2")', False),
        ("has(steps.build.outputs.W)", False),
        ("has(params.env) && !has(params.nope)", True),
        ('job.priority == "high" || job.name == "x"', True),
        ("params.env.matches('^pr[a-z]+$')", True),
        ('["a", "prod"].exists(one, one == params.env)', True),
        ("size([1, 2, 3].filter(n, n > params.count)) == 0", True),
        ("int(steps.build.outputs.V) + 1 == 2 // a comment", True),
        ('true ? params.env != "" : false', True),
        ('steps\n.build\n.status\n== "succeeded"', True),
    ],
)
def test_conditions(text: str, result: bool) -> None:
    scope = Scope("deploy", ["build", "unit-test"], ["build", "unit-test"])

    assert conditions.faults(text, ("if",), scope) == []
    assert evaluate(text, values({"env": "prod", "count": 3}, {"V": "1"})) is result


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("", "bad_condition", "is empty"),
        ("params.env ==", "bad_condition", "character 14: mismatched input the end"),
        ('params.env == "a\n"', "bad_condition", "character 15: '\"' is not expected here"),
        ("true &&\n ) ", "bad_condition", "line 2, character 2"),
        ("\ud800", "bad_condition", "is not expected here"),
        ('"\ud800" == ""', "bad_condition", "is not valid Unicode"),
        ("true" + " " * 2000, "too_long", "has 2,004 characters; a condition has at most 2,000"),
        ("(" * 21 + "true" + ")" * 21, "too_deep", "deeper than 20"),
        ("true?" * 21 + "true" + ":true" * 21, "too_deep", "deeper than 20"),
        ("[1].exists(x, [2].exists(y, true))", "too_deep", "takes one of all, exists"),
        ("paramz.env == 'x'", "unknown_name", "'paramz' is not known; did you mean params?"),
        ("status == 'x'", "unknown_name", "'status' is not known"),
        (".steps.build.status == ''", "unknown_name", "'.steps' is not known"),
        ("job.nmae == 'x'", "unknown_name", "job has no 'nmae'; did you mean name?"),
        ("steps.build.state == 'x'", "unknown_name", "steps.build has no 'state'; did you mean status?"),
        ("steps.build == {}", "unknown_name", "steps.build must be followed by a name"),
        ("steps.build.outputs == {}", "unknown_name", "steps.build.outputs must be followed by a name"),
        ("size(steps) == 1", "unknown_name", "steps must be followed by a name"),
        ("steps[params.env].status == 'x'", "unknown_name", "steps must be followed by a name"),
        ("params.exists(p, true)", "unknown_name", "params must be followed by a name"),
        ("steps.unit-test.status == 'x'", "unknown_name", 'is written steps["NAME"]'),
        ("steps.bild.status == 'x'", "unknown_step", "character 1: no step has the name 'bild'; did you mean build?"),
        ("true || steps.lint.status == 'x'", "not_an_ancestor", "add 'lint' to depends_on"),
        ("steps.deploy.status == 'x'", "not_an_ancestor", "refers to itself"),
        ("params.evn == 'x'", "unknown_param", "declares no parameter 'evn'; did you mean env?"),
        ("params.env.containz('x')", "unknown_function", "'containz' is not a known function; did you mean contains?"),
        ("always()", "unknown_function", "'always' is not a known function; write the field when: always"),
        ("failure() && true", "unknown_function", "write the field when: on_failure"),
        ("${{ params.env == 'x' }}", "bad_condition", "character 1: a condition stands without '${{' and '}}'"),
        ("timestamp('x') == 1", "unknown_function", "'timestamp' is not a known function"),
        ("exists(x, true)", "bad_condition", "exists is written LIST.exists(x, …)"),
        ("[1].exists(steps, true)", "bad_condition", "'steps' cannot name a macro's variable"),
        ("params.env.matches(params.count)", "bad_condition", "matches takes a regular expression in quotes"),
        ("params.env.matches('(')", "bad_condition", "character 20: .* not a valid regex"),
        ("Foo{a: 1}.a", "unknown_name", "'Foo' is not known"),
        ("+".join(["params.env"] * 150) + "==''", "too_long", "its weight is"),
        ("params.env.matches('(a{30}){30}b{2000}')", "too_long", "its weight is"),
        ("[" + ",".join("1" * 400) + "].exists(x, x == 1 || x == 2)", "too_long", "its weight is"),
    ],
)
def test_what_is_refused_and_why(text: str, kind: str, why: str) -> None:
    assert faults(text) == [kind]
    assert re.search(why if ".*" in why else re.escape(why), message(text))


def test_all_unknown_names_are_named_at_once() -> None:
    text = "steps.a.status == 'x' && steps.lint.status == 'x' && params.b == 1 && steps.a.status == 'y'"

    assert faults(text) == ["unknown_step", "not_an_ancestor", "unknown_param"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("steps.build.outputs.W == ''", "step 'build' has no output 'W'; valid are V; has(…) tests for one"),
        ("params.env == ''", "the job has no parameter 'env'"),
        ("params.count", "its result is a number, not true or false"),
        ("steps.build.outputs.V", "its result is a text, not true or false"),
        ("[true]", "its result is a list"),
        ("params.count + 'a' == ''", "No such overload"),
        ("int(steps.build.outputs.V) == 1", "string parse error"),
        ("1 / 0 == 1", "division by zero"),
        ("params.bad == ''", "Failed to convert"),
        ("not valid", "character 5"),
    ],
)
def test_an_error_has_the_condition_and_the_cause(text: str, why: str) -> None:
    with pytest.raises(ConditionError) as caught:
        evaluate(text, values({"count": 3, "bad": "\ud800"}, {"V": "x"}))

    detail = str(caught.value)
    assert detail.startswith(f"if: {text}: ")
    assert why in detail
    assert detail.isprintable()


def test_a_detail_stays_short_and_on_one_line() -> None:
    with pytest.raises(ConditionError) as caught:
        evaluate("params.x ==\n\n'" + "y" * 1900 + "'", values())

    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_a_value_is_never_read_as_a_condition(value: str) -> None:
    given = values({"env": value}, {"V": value})

    assert evaluate("params.env == steps.build.outputs.V", given) is True
    assert evaluate(f"size(params.env) == {len(value.encode())}", given) is True


def test_long_values_are_refused_instead_of_taking_long() -> None:
    given = values({"a": "x" * 900_000, "b": "y" * 200_000})

    assert evaluate("params.b == ''", given) is False
    with pytest.raises(ConditionError, match=r"its values have 1,100,0\d\d characters; it takes at most 1,048,576"):
        evaluate("params.a == params.b", given)


BIG = "params.big"
HOSTILE = {
    "a sum of texts": "+".join([BIG] * 96) + '==""',
    "a search in a sum": f"({'+'.join([BIG] * 40)}).contains({'+'.join(['params.bug'] * 40)})",
    "many searches": "||".join([f"{BIG}.contains(params.bug)"] * 60),
    "many comparisons": "&&".join([f"{BIG}=={BIG}"] * 80),
    "a list of sums": f"[{','.join('1' * 60)}].map(x,{BIG}+{BIG})==[]",
    "a list of lists": f"[{','.join('1' * 60)}].map(x,[{','.join([BIG] * 60)}])==[]",
    "a search for each": f"[{','.join('1' * 100)}].exists(x,{'||'.join([f'{BIG}.contains(params.bug)'] * 15)})",
    "a regular expression with many states": f"{BIG}.matches('(a|b)*a(a|b){{12}}c')",
    "nested repetitions": f"{BIG}.matches('(a{{30}}){{30}}|b')",
    "many classes": f"{BIG}.matches('{chr(92) * 2}w+x?{'(a?){20}' * 8}c')",
    "many alternatives": f"{BIG}.matches('{'(a|b)?' * 300}c')",
    "many regular expressions": "||".join([f"{BIG}.matches('(a|b)*c')"] * 50),
    "a long chain": "&&".join(["true"] * 330),
    "many signs": "!" * 1990 + "true",
    "a long list": f"[{','.join(['1'] * 990)}]==[]",
    "a long map": f"{{{','.join([f'{BIG}:1'] * 120)}}}=={{}}",
    "an open list": "[" * 2000,
    "type arguments": "a<b>" * 490,
}


@pytest.mark.parametrize("size", [2_500, 65_536])
@pytest.mark.parametrize("alphabet", ["a", "é😀x"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_condition_takes_long(text: str, alphabet: str, size: int) -> None:
    big = (alphabet * size)[:size]
    given = values({"big": big, "bug": big[: size // 2] + "b"})

    def seconds() -> float:
        cel.read.cache_clear()
        begun = time.process_time()
        conditions.faults(text, ("if",), Scope("a", ["a"], []))
        with suppress(ConditionError):  # refused, which is as quick
            evaluate(text, given)
        return time.process_time() - begun

    assert any(seconds() < LONGEST * slowness() for _ in range(3))


def run_of(*steps: Mapping[str, object], x: str) -> JobRun:
    """A job that began, whose tasks have the names of their steps as ids."""
    specs = [StepSpec.model_validate({"command": "true", **step}) for step in steps]
    wanted = Wanted("job", "nightly", of_steps(specs, over={}), params={"x": x}, env={})
    return begin(wanted, [spec.name for spec in specs], NOW, draw=lambda: 0.0).run


def test_the_conditions_of_one_transaction_are_bounded_together() -> None:
    first = [{"name": "a"}, *({"name": f"s{n}", "if": HEAVY} for n in range(998))]
    later = {"name": "later", "if": HEAVY, "depends_on": ["a"], "when": "always"}
    run = run_of(*first, later, x="a" * 8_000)
    reasons = [task.reason for task in run.tasks.values()][1:-1]
    fit = conditions.MAX_TOGETHER // (cel.read(HEAVY).weight * 8_000)
    assert reasons == [Reason.CONDITION] * fit + [Reason.BAD_CONDITION] * (998 - fit)
    assert run.tasks["s997"].detail == f"if: {HEAVY}: the conditions that are decided at once take too much"

    run.written()
    run.end(run.tasks["a"], TaskStatus.FAILED, NOW, reason=Reason.QUEUE_TIMEOUT)
    assert run.tasks["later"].reason is Reason.CONDITION


def test_a_thousand_plain_conditions_are_far_below_the_bound() -> None:
    plain = 'job.name.contains("night") && params.x != "" && params.x.matches("^[a-z]+$")'
    run = run_of(*({"name": f"s{n}", "if": plain} for n in range(1_000)), x="a" * 200)

    assert {task.status for task in run.tasks.values()} == {TaskStatus.QUEUED}
    assert 1_000 * cel.read(plain).weight * 220 < conditions.MAX_TOGETHER / 5


def test_cel_is_loaded_without_its_command_line() -> None:
    code = (
        "import sys; from orchestrator.domain.cel import read; assert 'cel.cel' not in sys.modules; read('true'); "
        "assert 'prompt_toolkit' not in sys.modules; import cel; assert cel.evaluate('1 + 1') == 2"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
