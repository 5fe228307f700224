"""What a wheel contains: the package `hodei`, and nothing else at its top (docs/adr/0020-what-a-wheel-claims.md).

The packages of the services go to `hodei/_services`, unchanged: their processes start with that folder on their path. A
copy of `schemas` for `hodei` itself goes to `hodei/_schemas`, and the imports of it are rewritten. An editable
installation uses the checkout as it is. Everything else about the distribution is in pyproject.toml.
"""

import re
import shutil
from pathlib import Path
from typing import Final

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info

SERVICES: Final = ("orchestrator", "scheduler", "worker_manager", "nats_exporter", "shared", "schemas")
IMPORT: Final = re.compile(r"^(\s*(?:from|import) )schemas\b", re.MULTILINE)


class BuildWheel(build_py):
    """Moves the packages after they were copied to the build folder."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # an earlier build would be packed as well
        super().run()
        if not self.editable_mode:
            self._move(Path(self.build_lib))

    def _move(self, lib: Path) -> None:
        hodei = lib / "hodei"
        shutil.copytree(lib / "schemas", hodei / "_schemas")
        for module in hodei.rglob("*.py"):
            module.write_text(IMPORT.sub(r"\1hodei._schemas", module.read_text()))
        (hodei / "_services").mkdir()
        for package in SERVICES:
            (lib / package).rename(hodei / "_services" / package)


class Metadata(egg_info):
    """Names the one package that is at the top."""

    def run(self) -> None:
        super().run()
        (Path(self.egg_info) / "top_level.txt").write_text("hodei\n")


setup(cmdclass={"build_py": BuildWheel, "egg_info": Metadata})
