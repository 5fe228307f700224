"""Which platform the e2e tests drive: one of their own, or one that already runs, named by TEST_* variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class E2EConfig:
    """Ports of a running platform, or none of them for one that the tests start; times in seconds."""

    host: str = "127.0.0.1"
    orchestrator_port: int | None = None
    scheduler_port: int | None = None
    worker_manager_port: int | None = None
    nats_url: str | None = None
    keys: Path | None = None
    namespace: str = "hodei"
    timeout: float = 30.0
    start_timeout: float = 60.0

    @property
    def external(self) -> bool:
        """Whether the platform runs already; tests that kill its parts are then skipped."""
        return self.orchestrator_port is not None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> E2EConfig:
        """Read TEST_HOST, TEST_{ORCHESTRATOR,SCHEDULER,WORKER_MANAGER}_PORT, TEST_NATS_URL, TEST_KEYS (the folder with
        all keys, if NATS asks for credentials), TEST_NAMESPACE, TEST_TIMEOUT and TEST_START_TIMEOUT. Raises ValueError
        when only some of the ports are named."""
        names = ("TEST_ORCHESTRATOR_PORT", "TEST_SCHEDULER_PORT", "TEST_WORKER_MANAGER_PORT")
        given = [environment[name] for name in names if environment.get(name)]
        if given and len(given) != len(names):
            raise ValueError(f"name all of {', '.join(names)}, or none")
        ports = [int(port) for port in given] or [None] * 3
        return cls(
            host=environment.get("TEST_HOST", cls.host),
            orchestrator_port=ports[0],
            scheduler_port=ports[1],
            worker_manager_port=ports[2],
            nats_url=environment.get("TEST_NATS_URL") or None,
            keys=Path(keys) if (keys := environment.get("TEST_KEYS")) else None,
            namespace=environment.get("TEST_NAMESPACE", cls.namespace),
            timeout=float(environment.get("TEST_TIMEOUT", cls.timeout)),
            start_timeout=float(environment.get("TEST_START_TIMEOUT", cls.start_timeout)),
        )
