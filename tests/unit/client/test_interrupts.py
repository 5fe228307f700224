"""An interrupt ends the command line with exit code 130 and no traceback, whenever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INTERRUPTED_AT_IMPORT = """
import os, signal, sys
module = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from hodei.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("hodei.cli", []), ("pydantic", ["jobs"]), ("hodei.up", ["up"]), ("hodei.demo", ["demo"])],
)
def test_an_interrupt_while_a_module_is_loaded_ends_it_quietly(module: str, arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_IMPORT, module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr.strip()) == (128 + signal.SIGINT, "")


def test_the_console_script_is_the_one_that_takes_interrupts() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"hodei": "hodei.__main__:main"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_a_signal_stops_before_it_is_up_says_so(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "hodei", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("hodei: starting PostgreSQL and NATS")
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert (demo.returncode, errors) == (128 + number, "")
    assert list(tmp_path.iterdir()) == []
