"""The tools for people: `hodei up`, the command line and the Python client (`from hodei import Client`).

Importing this loads nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hodei.client import Client

__all__ = ["Client", "__version__"]

__version__: str


def __getattr__(name: str) -> object:
    # The client and the installed metadata cost far more than this package: loaded when asked for.
    match name:
        case "Client":
            from hodei.client import Client

            return Client
        case "__version__":
            from importlib.metadata import PackageNotFoundError, version

            try:
                return version("hodei-jobs")
            except PackageNotFoundError:
                return "0.0.0"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
