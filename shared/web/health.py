"""Health: whether the process is alive and its dependencies answer.

Here: running all checks concurrently, within a deadline, and combining their results. Not here: the checks themselves,
which app.py passes in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import structlog

from schemas.rest.health import Health
from shared.telemetry import Metrics

Check = Callable[[], Awaitable[bool]]

CRITICAL: Final = frozenset({"database"})
"""Without these the service is unhealthy; without the others it is degraded, and still accepts and keeps work."""

_log = structlog.stdlib.get_logger("hodei.health")


class HealthChecks:
    """The named checks of one service. A check that returns True is up; False, an error or a timeout is down."""

    def __init__(
        self, service: str, version: str, checks: Mapping[str, Check], *, metrics: Metrics, deadline: float = 2.0
    ) -> None:
        self._service = service
        self._version = version
        self._checks = dict(checks)
        self._deadline = deadline
        up = metrics.gauge("health_check_up", "1 if the check of /health succeeds, else 0.", ["check"])
        self.draining: Callable[[], bool] = lambda: False
        """Returns whether the service is about to stop."""
        self.access: Literal["on", "off"] = "off"
        """Whether requests need a token."""
        self._up = {name: up.labels(name) for name in checks}
        metrics.before_scrape("health", self._measure)

    async def ask(self) -> Health:
        """Run all checks, within the deadline."""
        ups = await asyncio.gather(*(self._is_up(name, check) for name, check in self._checks.items()))
        states: dict[str, Literal["up", "down"]] = {
            name: "up" if up else "down" for name, up in zip(self._checks, ups, strict=True)
        }
        down = {name for name, state in states.items() if state == "down"}
        status: Literal["healthy", "degraded", "unhealthy", "draining"] = "healthy"
        if down:
            status = "unhealthy" if down & CRITICAL else "degraded"
        if self.draining():
            status = "draining"
        return Health(status=status, service=self._service, version=self._version, access=self.access, checks=states)

    async def _measure(self) -> None:
        answer = await self.ask()
        for name, state in answer.checks.items():
            self._up[name].set(state == "up")

    async def _is_up(self, name: str, check: Check) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                return await check()
        except Exception as error:  # noqa: BLE001 - any error of a check means down
            _log.warning("health.check_failed", check=name, error=repr(error))
            return False
