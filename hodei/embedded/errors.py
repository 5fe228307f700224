"""The one error of this package; its message is a single line for a person."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server could not be found, started, stopped, or its data are in use."""
