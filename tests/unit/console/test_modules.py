"""The console's pure modules, under node's own test runner: each file `*.test.js` beside this one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_pure_modules_under_node() -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("no node on this machine: the console's modules are not tested")

    ran = subprocess.run(
        [node, "--import", (HERE / "register.mjs").as_uri(), str(HERE / "all.mjs")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^\W pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > len(list(HERE.glob("*.test.js")))
