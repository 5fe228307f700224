"""Declared parameters: which declarations make sense, which values they take, and how a value reaches a process."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.params import MAX_DECLARED, Declarations, ParamSpec, Scalar, as_text

DECLARATIONS = TypeAdapter[dict[str, ParamSpec]](Declarations)
SPECS = {
    "string": ParamSpec(),
    "version": ParamSpec(pattern=r"v\d+"),
    "integer": ParamSpec(type="integer"),
    "number": ParamSpec(type="number"),
    "boolean": ParamSpec(type="boolean"),
    "choice": ParamSpec(type="choice", choices=["dev", "prod"]),
}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("string", "", ""),
        ("string", "3", "3"),
        ("version", "v12", "v12"),
        ("integer", 3, 3),
        ("integer", "-3", -3),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("number", 3, 3.0),
        ("number", "1.5", 1.5),
        ("number", "-1e3", -1000.0),
        ("boolean", True, True),
        ("boolean", "false", False),
        ("choice", "prod", "prod"),
    ],
)
def test_a_value_becomes_one_of_the_declared_type(name: str, given: Scalar, value: Scalar) -> None:
    accepted = SPECS[name].accept(given)
    assert (accepted, type(accepted)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("string", 3, "should be a string"),
        ("string", True, "should be a string"),
        ("version", "12", r"should match the pattern v\\d\+"),
        ("version", "v" + "1" * 2000, "should have at most 1,000 characters"),
        ("integer", 3.0, "should be a whole number"),
        ("integer", True, "should be a whole number"),
        *(("integer", text, "should be a whole number") for text in ("3.0", " 3", "+3", "03", "1_0", "٣", "", "1e3")),
        ("integer", 2**63, "of at most 64 bits, up to 9223372036854775807"),
        ("integer", "9" * 20, "of at most 64 bits"),
        ("number", False, "should be a number"),
        *(("number", text, "should be a number") for text in ("nan", "inf", "1e999", "0x1", "1.", ".5", "1 ")),
        ("number", 10**400, "should be a number"),
        ("boolean", 1, "should be true or false"),
        ("boolean", "yes", "should be true or false"),
        ("choice", "test", "should be one of dev, prod"),
    ],
)
def test_another_value_is_refused_with_what_would_be_right(name: str, given: Scalar, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPECS[name].accept(given)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"type": "choice"}, "a choice needs choices"),
        ({"type": "choice", "choices": []}, "a choice needs choices"),
        ({"type": "choice", "choices": ["a", "a"]}, "choices has a value twice"),
        ({"choices": ["a"]}, "choices are for the type choice, and this is of the type string"),
        ({"type": "integer", "pattern": "a"}, "a pattern is for the type string, and this is of the type integer"),
        ({"pattern": "(a"}, "pattern is not a valid pattern: unclosed group"),
        ({"type": "integer", "default": "3"}, "default should be a whole number"),
        ({"type": "integer", "default": 1.5}, "default should be a whole number"),
        ({"type": "boolean", "default": 0}, "default should be true or false"),
        ({"type": "boolean", "default": "true"}, "default should be true or false"),
        ({"default": 3}, "default should be a string"),
        ({"pattern": "a+", "default": "b"}, r"default should match the pattern a\+"),
        ({"type": "choice", "choices": ["a"], "default": "b"}, "default should be one of a"),
        ({"required": True, "default": "b"}, "a required parameter has no default"),
        ({"type": "int"}, "'string', 'integer', 'number', 'boolean' or 'choice'"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ParamSpec.model_validate(declared)


def test_names_that_become_one_variable_are_refused() -> None:
    with pytest.raises(ValidationError, match="count and Count both become HODEI_PARAM_COUNT"):
        DECLARATIONS.validate_python({"count": {}, "Count": {}})
    with pytest.raises(ValidationError, match="should match pattern"):
        DECLARATIONS.validate_python({"a-b": {}})
    with pytest.raises(ValidationError, match=f"at most {MAX_DECLARED} items"):
        DECLARATIONS.validate_python({f"p{number}": {} for number in range(MAX_DECLARED + 1)})


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), (True, "true"), (False, "false"), (3, "3"), (3.0, "3"), (-0.5, "-0.5"), (1e300, "1e+300")],
)
def test_a_value_reaches_the_environment_as_json_has_it(value: Scalar, text: str) -> None:
    assert as_text(value) == text
