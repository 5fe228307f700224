"""Parameters of a job: how a pipeline declares them, and how a value that is given becomes one of its type.

`orchestrator.domain.parameters` holds all parameters of a job against a pipeline's declarations.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, assert_never

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import to_json
from typing_extensions import TypeAliasType

from schemas import patterns, sizes, words
from schemas.model import Model, OrDefault

MAX_DECLARED: Final = 100
"""The most parameters that a pipeline declares."""
MAX_INPUTS: Final = 64 << 10
"""The most bytes of the inputs that an approval declares, as JSON: an event carries them."""
MAX_CHOICES: Final = 200
SHOWN: Final = 20
"""The most choices that an error lists."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LARGEST: Final = 2**63 - 1
_EXACT: Final = 2**53
"""Up to here, a floating-point number has all integers."""

ParamType = TypeAliasType("ParamType", Literal["string", "integer", "number", "boolean", "choice"])
ParamName = Annotated[str, StringConstraints(pattern=words.VARIABLE, max_length=200)]
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Scalar = StrictBool | StrictInt | Number | StrictStr
"""A value as JSON has it, of exactly its type."""


def form(value: object) -> str | None:
    """The member of a union of scalars that reads a value. It is chosen before validation, so that there is one error
    about a value that is none of them."""
    match value:
        case bool():
            return "[boolean]"
        case int():
            return "[integer]"
        case float():
            return "[number]"
        case str():
            return "[text]"
    return None


SCALAR: Final = Discriminator(
    form, custom_error_type="scalar_type", custom_error_message="should be a string, a number, true or false"
)
Given = Annotated[
    Annotated[StrictBool, Tag("[boolean]")]
    | Annotated[StrictInt, Tag("[integer]")]
    | Annotated[Number, Tag("[number]")]
    | Annotated[StrictStr, Tag("[text]")],
    SCALAR,
    # Not `oneOf`, which pydantic would generate: 3 is an integer and a number.
    WithJsonSchema({"anyOf": [{"type": kind} for kind in ("boolean", "integer", "number", "string")]}),
]
"""A `Scalar` in a request."""


def as_text(value: Scalar) -> str:
    """A value as the environment has it: a number as in JSON, `true` or `false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return json.dumps(value)


def variables_of(params: Mapping[str, Scalar]) -> dict[str, str]:
    """The variables in which the steps of a job find its parameters."""
    return {sizes.parameter_variable(name): as_text(value) for name, value in params.items()}


class ParamSpec(Model):
    """A parameter that a pipeline declares."""

    type: OrDefault[ParamType] = Field(
        "string", description="`integer`: without a fraction. `number`: any. `choice`: one of `choices`."
    )
    default: Given | None = Field(None, description="Its value where a job gives none.")
    required: OrDefault[bool] = Field(False, description="Whether each job must give it.")
    choices: list[Annotated[StrictStr, StringConstraints(max_length=1000)]] | None = Field(
        None, max_length=MAX_CHOICES, description="The values that a `choice` may have."
    )
    pattern: str | None = Field(
        None,
        description="A regular expression that the whole of a string must match, without look-around and back "
        "references. Such a string has at most 1,000 characters.",
    )
    description: str | None = Field(None, max_length=1000, description="What it is for.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "choice" and not self.choices:
            raise ValueError("a choice needs choices, a list of at least one value")
        if self.type != "choice" and self.choices is not None:
            raise ValueError(f"choices are for the type choice, and this is of the type {self.type}")
        if self.choices and len(set(self.choices)) < len(self.choices):
            raise ValueError("choices has a value twice")
        if self.pattern is not None:
            if self.type != "string":
                raise ValueError(f"a pattern is for the type string, and this is of the type {self.type}")
            try:
                patterns.check(self.pattern)
            except ValueError as error:
                raise ValueError(f"pattern {error}") from None
        if self.default is not None:
            if self.required:
                raise ValueError("a required parameter has no default, as each job gives its value")
            try:
                # Of its own type: a text is for what has only texts, as a command line.
                if self.accept(self.default) != self.default or isinstance(self.default, str) != self._is_text:
                    raise ValueError(self.expected)
            except ValueError as error:
                raise ValueError(f"default {error}") from None
        return self

    @property
    def _is_text(self) -> bool:
        return self.type in ("string", "choice")

    @property
    def expected(self) -> str:
        """What a value should be, as the rest of a sentence."""
        match self.type:
            case "string":
                return "should be a string"
            case "integer":
                return "should be a whole number"
            case "number":
                return "should be a number"
            case "boolean":
                return "should be true or false"
            case "choice":
                choices = self.choices or []
                return f"should be one of {', '.join(choices[:SHOWN])}{', …' if len(choices) > SHOWN else ''}"
            case _:
                assert_never(self.type)

    def accept(self, value: Scalar) -> Scalar:
        """The value in this type; a text that spells it exactly is taken as well. Raises ValueError with what would be
        right, as the rest of a sentence."""
        match self.type:
            case "string" if isinstance(value, str):
                return self._matching(value)
            case "choice" if isinstance(value, str) and value in (self.choices or ()):
                return value
            case "boolean" if isinstance(value, bool) or value in ("true", "false"):
                return value in (True, "true")
            case "integer" if (whole := _integer(value)) is not None:
                if abs(whole) > _LARGEST:
                    raise ValueError(f"should be a whole number of at most 64 bits, up to {_LARGEST}")
                return whole
            case "number" if (number := _number(value)) is not None:
                return number
        raise ValueError(self.expected)

    def _matching(self, text: str) -> str:
        if self.pattern is None or patterns.matches(self.pattern, text):
            return text
        if len(text) > patterns.MAX_TEXT:
            raise ValueError(f"should have at most {patterns.MAX_TEXT:,} characters, as it has a pattern")
        raise ValueError(f"should match the pattern {self.pattern}")


def _integer(value: Scalar) -> int | None:
    if isinstance(value, str):
        return int(value) if len(value) <= 20 and _INTEGER.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Scalar) -> float | None:
    """Always a float, so that expressions calculate with one kind of number."""
    if isinstance(value, bool) or (isinstance(value, str) and not (len(value) <= 100 and _NUMBER.fullmatch(value))):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _one_variable_each(params: dict[str, Any]) -> dict[str, Any]:
    variables: dict[str, str] = {}
    for name in params:
        variable = sizes.parameter_variable(name)
        if (other := variables.setdefault(variable, name)) != name:
            raise ValueError(f"{other} and {name} both become {variable}")
    return params


def _variables_fit(params: dict[str, Scalar]) -> dict[str, Scalar]:
    if faults := sizes.too_large_variables(variables_of(params)):
        raise ValueError("; ".join(faults))
    return params


def _defaults_fit(params: dict[str, ParamSpec]) -> dict[str, ParamSpec]:
    _variables_fit({name: spec.default for name, spec in params.items() if spec.default is not None})
    return params


def _fit_an_event(inputs: dict[str, ParamSpec]) -> dict[str, ParamSpec]:
    size = len(to_json(inputs, exclude_none=True)) if inputs else 0
    if size > MAX_INPUTS:
        raise ValueError(f"take {size:,} bytes as JSON; the inputs of an approval take at most {MAX_INPUTS:,}")
    return inputs


Parameters = Annotated[
    dict[ParamName, Given], Field(max_length=500), AfterValidator(_one_variable_each), AfterValidator(_variables_fit)
]
"""A job's parameters, which its steps get as the variables `HODEI_PARAM_<NAME>`."""
Declarations = Annotated[
    dict[ParamName, ParamSpec],
    Field(max_length=MAX_DECLARED),
    AfterValidator(_one_variable_each),
    AfterValidator(_defaults_fit),
]
"""The parameters that a pipeline declares."""
InputName = Annotated[str, StringConstraints(pattern=words.VARIABLE, max_length=100)]
"""The name of an input, which is also that of an output."""
Inputs = Annotated[dict[InputName, ParamSpec], Field(max_length=MAX_DECLARED), AfterValidator(_fit_an_event)]
"""The inputs that an approval declares, as a pipeline declares parameters."""
GivenInputs = Annotated[dict[InputName, Scalar], Field(max_length=MAX_DECLARED)]
"""The inputs that come with a decision."""
