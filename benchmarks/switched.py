"""An orchestrator whose access can be switched, for `benchmarks.access_cost`: SIGUSR1 turns it on, SIGUSR2 off.

While it is off, requests are not checked and act for no token, so that nothing is recorded of them.
"""

import signal

from aiohttp import web

from orchestrator.app import build
from orchestrator.settings import OrchestratorSettings
from shared.service import main
from shared.web import app
from shared.web.guard import Guard


class Switch(Guard):
    """A guard that is on or off."""

    is_on = True

    def admit(self, request: web.Request, route: str) -> None:
        if Switch.is_on:
            super().admit(request, route)

    @classmethod
    def turn(cls, number: int, _frame: object) -> None:
        cls.is_on = number == signal.SIGUSR1


if __name__ == "__main__":
    app.Guard = Switch  # type: ignore[misc]  # the name is a class's there
    signal.signal(signal.SIGUSR1, Switch.turn)
    signal.signal(signal.SIGUSR2, Switch.turn)
    main(OrchestratorSettings, build)
