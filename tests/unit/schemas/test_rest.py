"""What the models of the REST side accept of names and times."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.rest.jobs import JobCreate


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(moment: str) -> None:
    with pytest.raises(ValidationError, match="years 1 to 9999"):
        JobCreate.model_validate({"command": "true", "run_at": moment})


@pytest.mark.parametrize("name", ["\x1b[2Jred", "two\nlines", "\u202ebackwards", "   ", ""])
def test_a_name_cannot_act_where_it_is_shown(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        JobCreate.model_validate({"command": "true", "name": name})


@pytest.mark.parametrize("name", ["nightly build", "Überprüfung №5", "构建", "a" * 200])
def test_a_name_may_be_of_any_language(name: str) -> None:
    assert JobCreate.model_validate({"command": "true", "name": name}).name == name
