"""What a service tells the others about itself: its version, where people reach it, what it keeps and what is on.

The orchestrator asks for it (`schemas.questions`), so that one address is enough to find all three services.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from schemas.durations import duration_in_words
from schemas.questions import ServiceAnswer, ServiceQuestion
from shared.retention_settings import FOREVER, UNLIMITED
from shared.service import ServiceSettings, variables_of
from shared.version import platform_version

RETENTION: Final = "_RETENTION_"


class Introduction:
    """Answers the question. `port` is called for the port on which the service listens."""

    def __init__(self, settings: ServiceSettings, port: Callable[[], int], *, features: dict[str, bool]) -> None:
        self._port = port
        self._answer = ServiceAnswer(
            version=platform_version(),
            port=0,
            tls=settings.tls_cert is not None,
            public_url=settings.public_url,
            retention=_retention(settings),
            features=features,
        )

    async def answer(self, _asked: ServiceQuestion) -> ServiceAnswer:
        """The service as it is now."""
        return self._answer.model_copy(update={"port": self._port()})


def _retention(settings: ServiceSettings) -> dict[str, str]:
    """The settings of retention by their variables, as one writes them. Workers are left out without a setting: how
    long they are kept depends on their kind."""
    given = {name: getattr(settings, field) for name, field in variables_of(type(settings)) if RETENTION in name}
    return {name: _in_words(name, value) for name, value in given.items() if name != "HODEI_RETENTION_WORKERS" or value}


def _in_words(name: str, value: timedelta | float | None) -> str:
    if value is None:
        return UNLIMITED if "_JOBS_" in name else FOREVER
    if isinstance(value, timedelta):
        return duration_in_words(value)
    return f"{value}" if isinstance(value, int) else duration_in_words(timedelta(seconds=value))
