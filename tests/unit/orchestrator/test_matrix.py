"""The matrix of a step: which combinations it has, what of it is refused, and that checking it takes no time."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.domain.checking import check
from orchestrator.domain.definition import of_steps
from orchestrator.domain.graph import InvalidGraph
from orchestrator.domain.matrix import MAX_JOB_TASKS, combinations
from schemas.matrix import MatrixSpec, title
from schemas.specs import StepSpec


def a_step(matrix: object, name: str = "test", **fields: object) -> StepSpec:
    return StepSpec.model_validate({"name": name, "command": "true", "matrix": matrix, **fields})


def faults(*steps: StepSpec) -> list[tuple[tuple[str | int, ...], str, str]]:
    with pytest.raises(InvalidGraph) as caught:
        check(steps)
    return [(fault.loc, fault.msg, fault.type) for fault in caught.value.faults]


def of(matrix: dict[str, Any]) -> list[dict[str, Any]]:
    step = a_step(matrix)
    check([step])
    assert step.matrix is not None
    return combinations(step.matrix)


def test_the_last_axis_changes_fastest() -> None:
    assert of({"python": ["3.11", "3.12"], "os": ["debian", "alpine"]}) == [
        {"python": "3.11", "os": "debian"},
        {"python": "3.11", "os": "alpine"},
        {"python": "3.12", "os": "debian"},
        {"python": "3.12", "os": "alpine"},
    ]


def test_an_entry_of_exclude_leaves_out_all_that_have_its_values() -> None:
    axes = {"python": ["3.11", "3.12"], "os": ["debian", "alpine"]}
    assert of({**axes, "exclude": [{"os": "alpine"}]}) == [
        {"python": "3.11", "os": "debian"},
        {"python": "3.12", "os": "debian"},
    ]
    excluded = [{"python": 3.11, "os": "debian"}, {"python": "3.12", "os": "alpine"}]
    assert of({**axes, "exclude": excluded}) == [
        {"python": "3.11", "os": "alpine"},
        {"python": "3.12", "os": "debian"},
    ]


def test_include_adds_values_or_combinations_as_in_github_actions() -> None:
    include = [
        {"color": "green"},
        {"color": "pink", "animal": "cat"},
        {"fruit": "apple", "shape": "circle"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    assert of({"fruit": ["apple", "pear"], "animal": ["cat", "dog"], "include": include}) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    assert of({"include": [{"os": "debian"}, {"os": "alpine", "slow": True}]}) == [
        {"os": "debian"},
        {"os": "alpine", "slow": True},
    ]
    assert of({"os": ["a", "b"], "exclude": [{"os": "b"}], "include": [{"os": "b", "x": 1}]}) == [
        {"os": "a"},
        {"os": "b", "x": 1},
    ]


AT = ("steps", 0, "matrix")


@pytest.mark.parametrize(
    ("matrix", "loc", "message", "kind"),
    [
        ({}, (), "needs an axis", "empty_matrix"),
        ({"a": [1, 2], "exclude": [{"a": 1}, {"a": 2}]}, ("exclude",), "leaves no combination", "empty_matrix"),
        ({"os": ["x"], "exclude": [{"so": "x"}]}, ("exclude", 0, "so"), "did you mean os?", "unknown_axis"),
        ({"os": ["debian"], "exclude": [{"os": "debain"}]}, ("exclude", 0, "os"), "mean debian?", "unknown_value"),
        ({"a": [1, "2", "1"]}, ("a", 2), "the value 1 is used twice", "repeated_value"),
        ({"a": [True, "true"]}, ("a", 1), "the value true is used twice", "repeated_value"),
        ({"include": [{"x": 1}, {"x": "1"}]}, ("include",), "adds a combination twice: x: 1", "repeated_value"),
        ({"a-b": [1]}, ("a-b",), "is not a variable's name", "axis_name"),
        ({"a": [1], "include": [{"b c": 1}]}, ("include", 0, "b c"), "is not a variable's name", "axis_name"),
        ({"os": [1], "OS": [2]}, ("OS",), "os and OS both become HODEI_MATRIX_OS", "repeated_axis"),
        ({"os": [1], "include": [{"Os": 2}]}, ("include", 0, "Os"), "both become HODEI_MATRIX_OS", "repeated_axis"),
        ({"a": list(range(17)), "b": list(range(17))}, (), "has 289 combinations", "too_large"),
        ({"a": list(range(256)), "include": [{"a": -1}]}, (), "has 257 combinations; a step has", "too_large"),
        ({f"a{number}": [1] for number in range(21)}, (), "has 21 axes; a matrix has at most 20", "too_large"),
    ],
)  # fmt: skip
def test_a_matrix_that_makes_no_sense_is_refused_by_its_path(
    matrix: dict[str, Any], loc: tuple[str | int, ...], message: str, kind: str
) -> None:
    [(where, told, of_type)] = faults(a_step(matrix))
    assert (where, of_type) == ((*AT, *loc), kind)
    assert message in told


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"a": []}, r"matrix.a\n.*should have a value"),
        ({"a": 1}, r"matrix.a\n.*should be a list of values, as every key but"),
        ({"a": [None]}, "should be a string, a number, true or false"),
        ({"a": [["x"]]}, "should be a string, a number, true or false"),
        ({"a": ["x" * 201]}, "at most 200 characters"),
        ({"a": ["\x1b[2J"]}, "control a terminal"),
        ({"a": [2**63]}, "less than or equal to"),
        ({"a": [1], "max_parallel": 0}, "greater than or equal to 1"),
        ({"a": [1], "include": [{}]}, "at least 1 item"),
        ({"a": [1], "exclude": [{}]}, "at least 1 item"),
    ],
)
def test_values_of_other_types_are_refused(matrix: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        a_step(matrix)


def test_a_job_has_a_thousand_tasks_at_most() -> None:
    steps = [a_step({"n": list(range(250))}, f"s{number}") for number in range(MAX_JOB_TASKS // 250)]
    check(steps)
    [(where, message, _)] = faults(*steps, StepSpec(name="more", command="true"), a_step({"n": [1]}, "last"))
    assert where == ("steps", 5, "matrix")
    assert message == "a job has at most 1,000 tasks; up to here it has 1,002"


def test_a_matrix_that_takes_long_to_compare_is_refused_in_no_time() -> None:
    entries = [{"a": number % 16, "b": number // 16} for number in range(255)]
    matrix = {"a": list(range(16)), "b": list(range(16)), "exclude": entries, "include": entries}
    steps = [a_step(matrix, f"s{number}") for number in range(100)]
    started = time.thread_time()
    found = faults(*steps)
    assert time.thread_time() - started < 5
    assert ("compares more than 500,000" in found[-1][1], found[-1][2]) == (True, "too_large")


def test_each_task_has_the_rules_of_its_step_and_its_own_values() -> None:
    matrix = {"os": ["debian", "alpine"], "max_parallel": 1, "fail_fast": False}
    tasks = of_steps([a_step(matrix, allow_failure=True), StepSpec(name="b", command="true")], over={})
    assert [task.key for task in tasks] == [("test", 0), ("test", 1), ("b", None)]
    assert [task.rules.matrix for task in tasks] == [{"os": "debian"}, {"os": "alpine"}, None]
    assert [(task.rules.max_parallel, task.rules.fail_fast, task.rules.allow_failure) for task in tasks] == [
        (1, False, True),
        (1, False, True),
        (None, True, False),
    ]
    assert [task.title for task in tasks] == ["test (debian)", "test (alpine)", "b"]


def test_the_title_shows_values_as_the_process_gets_them() -> None:
    assert title("test", {"python": "3.11", "fast": True, "count": 3.0}) == "test (3.11, true, 3)"
    assert title("test", None) == "test"


def test_a_matrix_survives_json() -> None:
    given = {"b": [1, "x"], "a": [True], "include": [{"c": 1.5}], "max_parallel": 3}
    spec = MatrixSpec.model_validate(given)
    again = MatrixSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert list(again.axes) == ["b", "a"]
    assert all(earlier != later for earlier, later in pairwise(combinations(again)))


def test_the_largest_matrices_are_compared_in_a_moment() -> None:
    axes = {"a": list(range(16)), "b": list(range(16))}
    exclude = [{"a": n % 16, "b": (n + n // 16) % 16} for n in range(200)]
    include = [{"a": n % 16, f"key{n}": "x"} for n in range(250)]
    steps = [a_step({**axes, "exclude": exclude, "include": include}, name=f"s{n}") for n in range(4)]
    began = time.thread_time()
    check(steps)
    assert time.thread_time() - began < 0.4, "with values turned into text in each comparison, it takes over 0.8 s"
