"""A log line that cannot be written ends nothing, and is not forgotten."""

from __future__ import annotations

import io
import json
import logging as standard_logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from shared.telemetry import LogOutput, logging


class Disk(io.StringIO):
    """A stream that has no room while it is full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture
def disk() -> Iterator[Disk]:
    root = standard_logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = Disk()
    logging.configure_logging(service="trial", format="json", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_lost_to_a_full_disk_raise_nothing_and_the_next_one_counts_them(disk: Disk) -> None:
    disk.full = True
    structlog.get_logger().info("job.created")
    standard_logging.getLogger("library").warning("from elsewhere")
    disk.full = False
    structlog.get_logger().info("job.started")
    structlog.get_logger().info("job.succeeded")
    assert [(line["event"], line.get("lines_lost")) for line in map(json.loads, disk.getvalue().splitlines())] == [
        ("job.started", 2),
        ("job.succeeded", None),
    ]


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), UnicodeEncodeError("ascii", "é", 0, 1, "no")])
def test_a_closed_pipe_and_a_poor_encoding_raise_nothing(error: Exception) -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    output = LogOutput(Stream())
    output.write("line\n")
    assert output.lost == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_process_whose_log_takes_nothing_works_on() -> None:
    script = """
import structlog, sys
from shared.telemetry import logging
logging.configure_logging(service="trial", format="json")
for number in range(5000):
    structlog.get_logger().info("job.created", text="x" * 100)
print("done")
"""
    # Unbuffered, Python has nothing left to write at the end, which is when it would find fault.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, env=environment, text=True
        )
    assert (done.stdout, done.returncode) == ("done\n", 0)
