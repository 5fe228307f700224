"""The errors of the bus beside `shared.errors.BusUnavailable`: requests that NATS or its protocol refuses."""

from shared.errors import HodeiError, MessageTooLarge


class BusError(HodeiError):
    """The NATS server refused a request. `code` is JetStream's own error code (0: none given)."""

    def __init__(self, what: str, description: str, code: int = 0) -> None:
        super().__init__(f"{what}: {description}")
        self.code = code


class TooLarge(BusError, MessageTooLarge):
    """A message is larger than the server or the stream accepts."""
