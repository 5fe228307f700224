"""The tools for people: `hodei up`, the command line and the Python client (`from hodei import Client, JobCreate`).

`hodei.api` lists the client, its errors and the models of requests and responses. `import hodei` alone does not load
them; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hodei.api import *  # noqa: F403

__version__: str


def __getattr__(name: str) -> object:
    # The client and the installed metadata take far longer to load than this package, so they are loaded on first use.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("hodei-jobs")
        except PackageNotFoundError:
            return "0.0.0"
    if name[:1].isupper() or name == "written":  # not a submodule, which must not load the client
        from hodei import api

        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from hodei import api

    return sorted({*globals(), *api.__all__, "__version__"})
