"""A pipeline in a file: its conveniences become the fields of a pipeline, and every field keeps its place."""

import pytest

from orchestrator.domain.document import BadText, Document, read_document
from schemas.rest.pipelines import PipelineCreate

LIST = """\
name: build
env:
  PORT: 8080
steps:
  - name: fetch
    command: git clone x
  - name: test
    command: make test
    needs: fetch
    timeout: -1
    retry: {}
  - command: [make, package]
    depends_on: [fetch, test]
"""

MAP = """\
name: build
steps:
  fetch:
    command: git clone x
  test: {command: make test, needs: [fetch]}
  package:
    command: make package
    depends_on: test
  empty:
"""


def test_steps_may_be_a_map_and_needs_is_taken_for_depends_on() -> None:
    document = read_document(MAP.replace("  empty:\n", ""))
    assert document.fields == {
        "name": "build",
        "steps": [
            {"name": "fetch", "command": "git clone x"},
            {"name": "test", "command": "make test", "depends_on": ["fetch"]},
            {"name": "package", "command": "make package", "depends_on": ["test"]},
        ],
    }
    PipelineCreate.model_validate(document.fields)


def test_a_single_name_is_taken_for_a_list_of_one() -> None:
    fields = read_document(LIST).fields
    assert isinstance(fields, dict)
    assert fields["steps"][1]["depends_on"] == ["fetch"]


def faults(text: str) -> list[tuple[tuple[str | int, ...], int, int, str]]:
    with pytest.raises(BadText) as caught:
        read_document(text)
    return [(fault.loc, *fault.position, fault.type) for fault in caught.value.faults]


def test_needs_beside_depends_on_and_a_name_in_a_map_of_steps_are_faults() -> None:
    text = "steps:\n  a:\n    needs: b\n    depends_on: c\n    name: a\n  d: {name: x}\n"
    assert faults(text) == [
        (("steps", 0, "needs"), 3, 5, "repeated_key"),
        (("steps", 0, "name"), 5, 5, "repeated_name"),
        (("steps", 1, "name"), 6, 7, "repeated_name"),
    ]


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        ((), (1, 1)),
        (("name",), (1, 7)),
        (("env",), (2, 1)),
        (("env", "PORT"), (3, 9)),
        (("steps",), (4, 1)),
        (("steps", 0), (5, 5)),
        (("steps", 0, "name"), (5, 11)),
        (("steps", 1, "depends_on"), (9, 5)),
        (("steps", 1, "depends_on", 0), (9, 12)),
        (("steps", 1, "timeout"), (10, 14)),
        (("steps", 1, "retry"), (11, 5)),
        (("steps", 1, "retry", "delay"), (11, 5)),
        (("steps", 2, "name"), (12, 5)),
        (("steps", 2, "command", 1), (12, 21)),
        (("steps", 2, "depends_on", 1), (13, 25)),
        (("steps", 9, "name"), (4, 1)),
        (("timeout",), (1, 1)),
    ],
)
def test_a_fault_is_placed_at_the_field_or_at_its_nearest_parent(
    loc: tuple[str | int, ...], place: tuple[int, int]
) -> None:
    assert read_document(LIST).position(loc) == place


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        (("steps", 0), (3, 3)),
        (("steps", 0, "name"), (3, 3)),
        (("steps", 0, "timeout"), (3, 3)),
        (("steps", 1, "depends_on", 0), (5, 38)),
        (("steps", 2, "depends_on", 0), (8, 17)),
        (("steps", 3), (9, 9)),
    ],
)
def test_the_places_of_a_map_of_steps(loc: tuple[str | int, ...], place: tuple[int, int]) -> None:
    assert read_document(MAP).position(loc) == place


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        ("{python: [3.9, 3.10, '3.10', 3.11]}", [(("python", 1), '3.10 is the number 3.1: put it in quotes, "3.10"')]),
        ("{month: [08, 10]}", [(("month", 0), '08 is the number 8: put it in quotes, "08"')]),
        (
            "{v: [3.10, 1.20], include: [{v: 1, w: 2.50}], exclude: [{v: 1.20}]}",
            [(("v", 0), "3.1"), (("v", 1), "1.2"), (("include", 0, "w"), "2.5"), (("exclude", 0, "v"), "1.2")],
        ),
        ("{n: [1, 0, -5, 2.5, 3.0, 1e3, 0x1f, true, no, 1.10.0, v1.10], max_parallel: 2}", []),
        ("5", []),
    ],
)
def test_a_number_of_a_matrix_that_would_lose_a_zero_is_refused(
    matrix: str, found: list[tuple[tuple[str | int, ...], str]]
) -> None:
    text = f"name: x\nsteps:\n  t: {{command: x, matrix: {matrix}}}\n"
    try:
        read_document(text)
        faults = []
    except BadText as error:
        faults = list(error.faults)
    assert [fault.loc for fault in faults] == [("steps", 0, "matrix", *loc) for loc, _ in found]
    assert all(says in fault.msg for fault, (_, says) in zip(faults, found, strict=True))


def test_an_unknown_field_is_placed_at_its_key() -> None:
    document = read_document("name: x\nsteps: [{nam: y}]\n")
    assert document.position(("steps", 0, "nam"), of_key=True) == (2, 10)
    assert document.position(("steps", 0, "nam")) == (2, 15)


def test_what_was_written_for_a_value_that_is_not_text() -> None:
    document = read_document("env: {A: 1.10, B: '1', C: no, D: ~, E: True}")
    assert [document.written(("env", name)) for name in "ABCDEF"] == ["1.10", None, None, "~", "True", None]


@pytest.mark.parametrize("steps", ["5", "text", "null", "[5, null, []]", "{a: 5}", "[{needs: 5, depends_on: null}]"])
def test_what_is_of_another_kind_is_left_to_the_check_of_the_fields(steps: str) -> None:
    if "needs" in steps:
        assert faults(f"steps: {steps}")[0][-1] == "repeated_key"
    else:
        assert isinstance(read_document(f"name: x\nsteps: {steps}"), Document)


def test_an_anchor_shared_by_steps_is_not_changed_by_what_one_of_them_says() -> None:
    text = "steps:\n  a: &a {command: x, needs: b}\n  b: {command: y}\n  c: {<<: *a, needs: a}\n  d: *a\n"
    fields = read_document(text).fields
    assert isinstance(fields, dict)
    assert [step.get("depends_on") for step in fields["steps"]] == [["b"], None, ["a"], ["b"]]
    assert [step["name"] for step in fields["steps"]] == ["a", "b", "c", "d"]
