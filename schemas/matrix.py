"""The matrix of a step: the values with which the step has a task each.

Here: what a user writes, and how a task of it is named. `orchestrator.domain.matrix` checks and expands it.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.model import Model, OrDefault, without_controls
from schemas.params import SCALAR, Number, Scalar, as_text
from schemas.sizes import AXIS

MAX_TASKS: Final = 256
"""The most tasks of one step, and the most combinations of the axes of its matrix."""
MAX_ENTRIES: Final = 256
"""The most entries of `include`, and of `exclude`."""
MAX_VALUE: Final = 200
"""The most characters of a value."""
MAX_KEYS: Final = 20
"""The most axes, and the most keys of one entry."""

_LARGEST: Final = 2**63 - 1

MatrixValue = Annotated[
    Annotated[StrictBool, Tag("[boolean]")]
    | Annotated[StrictInt, Field(ge=-_LARGEST, le=_LARGEST), Tag("[integer]")]
    | Annotated[Number, Tag("[number]")]
    | Annotated[StrictStr, StringConstraints(max_length=MAX_VALUE), AfterValidator(without_controls), Tag("[text]")],
    SCALAR,
    WithJsonSchema(
        {
            "anyOf": [
                *({"type": kind} for kind in ("boolean", "integer", "number")),
                {"type": "string", "maxLength": MAX_VALUE},
            ]
        }
    ),
]


def _values(given: object) -> object:
    if not isinstance(given, list):
        rest = "include, exclude, max_parallel and fail_fast"
        raise PydanticCustomError("axis_type", f"should be a list of values, as every key but {rest} is an axis")
    if not given:
        raise PydanticCustomError("too_short", "should have a value")
    return given


Axis = Annotated[list[MatrixValue], Field(min_length=1, max_length=MAX_TASKS), BeforeValidator(_values)]
_AXES: Final = TypeAdapter(dict[str, Axis])
Combination = Annotated[dict[str, MatrixValue], Field(min_length=1, max_length=MAX_KEYS)]
Combinations = Annotated[list[Combination], Field(max_length=MAX_ENTRIES)]


class MatrixSpec(Model):
    """A step has a task for each combination of values. Every key that is not a field here is an axis: its values."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"python": ["3.11", "3.12"], "os": ["debian", "alpine"], "max_parallel": 2}]},
    )
    __pydantic_extra__: dict[str, Axis] = Field(init=False)

    include: OrDefault[Combinations] = Field(
        default_factory=list,
        description="Values to add: to the combinations that have the same values of the axes named, or, if there are "
        "none, as a further combination.",
    )
    exclude: OrDefault[Combinations] = Field(
        default_factory=list, description="Combinations to leave out: those that have all the values of an entry."
    )
    max_parallel: int | None = Field(
        None, ge=1, le=MAX_TASKS, description="How many of its tasks run at the same time; by default all."
    )
    fail_fast: OrDefault[bool] = Field(True, description="Whether the first task that fails cancels the others.")

    @model_validator(mode="wrap")
    @classmethod
    def _axes_are_no_unknown_fields(cls, given: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The client ignores fields that it does not know, so that it can read the answers of a newer platform. The
        axes are not among these."""
        matrix = handler(given)
        if not isinstance(given, Mapping) or matrix.model_extra is not None:
            return matrix
        axes = _AXES.validate_python({name: value for name, value in given.items() if name not in cls.model_fields})
        return matrix.model_copy(update=axes)

    @property
    def axes(self) -> Mapping[str, list[Scalar]]:
        """The axes with their values, in the order written."""
        return self.__pydantic_extra__

    @property
    def keys(self) -> list[str]:
        """The names that the values of a task may have, of `include` as well."""
        return list(dict.fromkeys([*self.axes, *(name for entry in self.include for name in entry)]))


def axis_variable(name: str) -> str:
    """The variable in which a task finds its value of an axis."""
    return AXIS + name.upper()


def variables_of(matrix: Mapping[str, Scalar]) -> dict[str, str]:
    """The variables of one task of a matrix."""
    return {axis_variable(name): as_text(value) for name, value in matrix.items()}


def title(step: str, matrix: Mapping[str, object] | None) -> str:
    """The name under which a task is shown: `test (3.11, debian)`, or the step's name without a matrix."""
    if not matrix:
        return step
    return f"{step} ({', '.join(as_text(one) for one in matrix.values() if isinstance(one, str | int | float))})"
