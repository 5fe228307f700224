"""The errors of this package. Their messages are single lines for a person."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server could not be found, started or stopped, or its data are in use."""


class WrongSetting(EmbeddedError):
    """The environment has an invalid value or an unknown name. Nothing was started."""


class PortTaken(EmbeddedError):
    """Another process listens on the port that a server needs."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port
