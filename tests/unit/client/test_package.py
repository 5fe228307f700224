"""The package `hodei` itself: what it exports, and that this costs nothing until it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hodei


def test_the_client_is_exported() -> None:
    from hodei import Client
    from hodei.client import Client as Itself

    assert Client is Itself
    assert set(hodei.__all__) == {"Client", "__version__"}


def test_importing_it_loads_nothing_else() -> None:
    program = "import __future__, sys, typing; had = set(sys.modules); import hodei; print(*set(sys.modules) - had)"

    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert out.split() == ["hodei"]


def test_a_folder_of_the_same_name_does_not_hide_it(tmp_path: Path) -> None:
    """A clone that is called `hodei`, in the folder in which Python is started, is not a package."""
    for package in ("hodei", "schemas", "shared"):
        (tmp_path / package).mkdir()
    program = "import hodei, schemas, shared; print(hodei.Client.__name__, schemas.__file__, shared.__file__)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stderr == ""
    assert done.stdout.startswith("Client ")


def test_anything_else_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'hodei' has no attribute 'nothing'"):
        hodei.nothing  # noqa: B018  # asking is the test
