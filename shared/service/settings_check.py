"""Checks the settings of several processes. `hodei up` runs this before it starts anything.

    python -m shared.service.settings_check orchestrator scheduler worker_manager.agent

Each argument is a package with a `settings` module. Exits 0, or 2 with one line on stderr that names every wrong
variable. It starts no process and contacts no server.
"""

import importlib
import sys
from collections.abc import Sequence

from shared.errors import ConfigError
from shared.service.lifecycle import EXIT_MISCONFIGURED
from shared.service.settings import ProcessSettings, check


def settings_of(package: str) -> type[ProcessSettings]:
    """The settings class that a package defines."""
    module = importlib.import_module(f"{package}.settings")
    (found,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ProcessSettings) and kind.__module__ == module.__name__
    )
    return found


def main(packages: Sequence[str]) -> int:
    """Check the settings of these packages. Returns the exit code."""
    try:
        check([settings_of(package) for package in packages])
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_MISCONFIGURED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
