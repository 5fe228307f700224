"""How Python is started for the processes of the platform: its command, and where it finds their packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

_SERVICES: Final = Path(__file__).parent / "_services"
"""Where a wheel has the packages of the services (docs/adr/0020-what-a-wheel-claims.md); a checkout has none."""


def python() -> Sequence[str]:
    """The command of this Python. Where hodei is installed, it does not import from the current folder, which may have
    a `scheduler` of its own."""
    try:
        metadata.distribution("hodei-jobs")
    except metadata.PackageNotFoundError:
        return (sys.executable,)
    return (sys.executable, "-P")


def service_path(services: Path = _SERVICES) -> Mapping[str, str]:
    """The variables with which a process of the platform finds its packages, to be added to its environment."""
    if not services.is_dir():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(services), os.environ.get("PYTHONPATH"))))}
