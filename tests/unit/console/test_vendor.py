"""The vendored modules are those that their table names, with their licences."""

import hashlib
import re
from pathlib import Path

CONSOLE = Path(__file__).parents[3] / "orchestrator" / "console"
VENDOR = CONSOLE / "vendor"
ROW = re.compile(
    r"^\| `([\w.-]+)` \| `([^`]+)`, `[^`]+` \| (\d[\w.]+) \| ([\w.-]+) \| `([0-9a-f]{64})` \|$", re.MULTILINE
)


def test_each_file_is_the_one_that_the_table_names() -> None:
    table = {name: digest for name, _, _, _, digest in ROW.findall((VENDOR / "README.md").read_text())}

    assert table == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}


def test_each_licence_is_here() -> None:
    packages = {package for _, package, _, _, _ in ROW.findall((VENDOR / "README.md").read_text())}
    names = {package.removesuffix("-core").rpartition("/")[2] for package in packages}

    assert [name for name in names if not (VENDOR / "licences" / f"LICENSE.{name}").read_text()] == []
