"""The choice of the servers that the tests run against."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fixtures.servers import chosen


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "embedded"),
        ({"TEST_BACKEND": ""}, "embedded"),
        ({"TEST_BACKEND": "embedded"}, "embedded"),
        ({"TEST_BACKEND": "testcontainers"}, "testcontainers"),
    ],
)
def test_embedded_unless_another_is_named(environment: dict[str, str], name: str) -> None:
    assert chosen(environment) == name


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"TEST_BACKEND": "docker"}, "TEST_BACKEND='docker': should be embedded or testcontainers"),
        (
            {"TEST_BACKEND": "testcontainers", "DOCKER_HOST": "unix:///nowhere/docker.sock"},
            "TEST_BACKEND=testcontainers needs a Docker engine, and none answers",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line_before_any_test(environment: dict[str, str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (said,) = [text for text in (done.stdout + done.stderr).splitlines() if text.strip()]
    assert said.startswith(f"ERROR: {line}")
