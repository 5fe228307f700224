"""Which version of the platform this is."""

from importlib import metadata


def platform_version() -> str:
    """The installed version; 0.0.0 when run from a checkout."""
    try:
        return metadata.version("hodei-jobs")
    except metadata.PackageNotFoundError:
        return "0.0.0"
