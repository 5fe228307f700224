"""The matrix of a step, as it is written and as the client reads it."""

import pytest
from pydantic import ValidationError

from schemas.matrix import MatrixSpec

TEXT = '{"python":["3.11",3],"include":[{"python":"3.13"}],"max_parallel":2}'


def test_the_axes_stay_where_unknown_fields_are_ignored() -> None:
    strict, lenient = MatrixSpec.model_validate_json(TEXT), MatrixSpec.model_validate_json(TEXT, extra="ignore")

    assert lenient == strict
    assert lenient.axes == {"python": ["3.11", 3]}
    assert lenient.model_dump_json(exclude_unset=True) == strict.model_dump_json(exclude_unset=True)


def test_an_axis_is_checked_where_unknown_fields_are_ignored() -> None:
    with pytest.raises(ValidationError, match="python"):
        MatrixSpec.model_validate_json('{"python": []}', extra="ignore")
