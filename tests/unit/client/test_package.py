"""The package `hodei` itself: what it exports, and that this costs nothing until it is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pydantic import BaseModel

import hodei
from hodei import Client, api


def test_the_client_is_exported() -> None:
    from hodei import Client
    from hodei.client import Client as Itself

    assert Client is Itself
    assert {"Client", "JobCreate", "__version__"} <= set(dir(hodei))


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in api.__all__ if not hasattr(hodei, name)]

    assert missing == []


def test_every_type_of_the_clients_methods_is_exported() -> None:
    """Also those of the fields of a model, and of their fields."""
    left: list[object] = [
        kind
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
        for kind in get_type_hints(method).values()
    ]
    needed: set[type] = set()
    while left:
        kind = left.pop()
        left += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel | Enum) and kind not in needed:
            needed.add(kind)
            if issubclass(kind, BaseModel):
                left += [field.annotation for field in kind.model_fields.values()]

    assert {"JobCreate", "StepSpec", "RetrySpec", "JobStatus"} <= {kind.__name__ for kind in needed}
    assert {kind.__name__ for kind in needed} - set(api.__all__) == set()


def test_a_submodule_does_not_load_the_client() -> None:
    program = "import sys; from hodei import escapes; print('hodei.client' in sys.modules)"

    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert out.split() == ["False"]


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
