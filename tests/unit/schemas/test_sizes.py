"""How the bytes of a process are counted, held against real processes."""

from __future__ import annotations

import errno
import subprocess

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas import sizes
from schemas.params import Parameters, Scalar
from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import PipelineCreate
from schemas.specs import Env

ENV = TypeAdapter[dict[str, str]](Env)
PARAMETERS = TypeAdapter[dict[str, Scalar]](Parameters)


def starts(env: dict[str, str]) -> bool:
    try:
        subprocess.run(["/bin/true"], env=env, check=True)
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        return False
    return True


def of_bytes(name: str, size: int) -> dict[str, str]:
    """One variable of exactly so many bytes, of characters that take two."""
    room = size - len(name) - 2
    return {name: "é" * (room // 2) + "x" * (room % 2)}


def test_a_variable_is_taken_exactly_when_a_process_takes_it() -> None:
    fits, does_not = of_bytes("X", sizes.MAX_VARIABLE), of_bytes("X", sizes.MAX_VARIABLE + 1)
    assert (starts(fits), starts(does_not)) == (True, False)
    assert ENV.validate_python(fits) == fits
    with pytest.raises(ValidationError, match=r"X takes 131,073 bytes with its name.* at most 131,072"):
        ENV.validate_python(does_not)


def test_a_parameter_is_measured_as_the_variable_that_it_becomes() -> None:
    name = "HODEI_PARAM_TEXT"
    fits, does_not = of_bytes(name, sizes.MAX_VARIABLE)[name], of_bytes(name, sizes.MAX_VARIABLE + 1)[name]
    assert PARAMETERS.validate_python({"text": fits}) == {"text": fits}
    with pytest.raises(ValidationError, match="HODEI_PARAM_TEXT takes 131,073 bytes"):
        PARAMETERS.validate_python({"text": does_not})
    with pytest.raises(ValidationError, match="text and TEXT both become HODEI_PARAM_TEXT"):
        PARAMETERS.validate_python({"text": "a", "TEXT": "b"})


def test_an_environment_that_is_just_not_too_large_starts_with_room_for_the_workers_variables() -> None:
    env = {f"V{number:02}": "x" * 99_000 for number in range(19)}
    rest = sizes.MAX_PROCESS - sizes.environment_bytes(env) - sizes.argument_bytes(["/bin/true"])
    env |= {"LAST": "x" * (rest - sizes.environment_bytes({"LAST": ""}))}
    assert sizes.environment_bytes(env) + sizes.argument_bytes(["/bin/true"]) == sizes.MAX_PROCESS
    assert starts(env | {"PATH": "/" * 100_000})


def test_a_step_whose_variables_and_arguments_are_together_too_large_is_refused() -> None:
    env = {f"V{number}": "x" * 98_000 for number in range(18)}
    words = ["echo", *["y" * 100_000] * 3]
    with pytest.raises(ValidationError, match=r"variables and the arguments .* 2,064,.* at most 1,966,080"):
        JobCreate.model_validate({"command": words, "type": "exec", "env": env})
    step = {"name": "a", "command": words, "type": "exec", "env": env}
    with pytest.raises(ValidationError, match=r"steps.0"):
        PipelineCreate.model_validate({"name": "p", "steps": [step]})
    assert JobCreate.model_validate({"command": words[:2], "type": "exec", "env": env}).command is not None


@pytest.mark.parametrize("name", ["X=Y", "X\n", "", "1X", "X Y", "É", "X\0"])
def test_a_name_that_no_variable_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ENV.validate_python({name: "value"})


def test_a_working_directory_is_measured_in_bytes() -> None:
    with pytest.raises(ValidationError, match="has 8,000 bytes; a path may have at most 4,095"):
        JobCreate.model_validate({"command": "true", "working_dir": "é" * 4000})


def test_a_variable_of_the_largest_size_is_taken_and_one_byte_more_names_the_variable_and_its_size() -> None:
    most = 131_072 - len("X=") - 1
    assert JobCreate(command="true", env={"X": "x" * most}).env["X"] == "x" * most
    with pytest.raises(ValidationError, match=r"131,?073|131,?072"):
        JobCreate(command="true", env={"X": "x" * (most + 1)})
