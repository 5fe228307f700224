"""What a person touches: `hodei up`, the command line and the Python client. Importing this loads nothing else."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    # Reading the installed metadata costs more than importing this package: done when asked for.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hodei-jobs")
    except PackageNotFoundError:
        return "0.0.0"
