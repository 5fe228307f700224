"""The one error of this package; its message is a single line for a person."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server could not be found, started, stopped, or its data are in use."""


class WrongSetting(EmbeddedError):
    """The environment has an invalid value or an unknown name. Nothing was started."""


class PortTaken(EmbeddedError):
    """Another process listens on the port that a server was to have."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port
