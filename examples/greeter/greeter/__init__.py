"""Greets people by their names."""

__version__ = "1.2.0"


def greeting(name: str) -> str:
    """The greeting for a name. Raises ValueError for a blank one."""
    if not name.strip():
        raise ValueError("a name is needed")
    return f"Hello, {name.strip()}!"
