"""The version of the platform."""

from importlib import metadata


def platform_version() -> str:
    """The installed version; 0.0.0 in a checkout that is not installed."""
    try:
        return metadata.version("hodei-jobs")
    except metadata.PackageNotFoundError:
        return "0.0.0"
