"""Every `HODEI_*` variable that a process of the platform reads or sets.

One environment often serves several processes: a shell exports the settings of the services and of the command line,
and a command that a worker runs may start another `hodei`. So a process accepts the variables of all of them, and
refuses any other name with this prefix: most likely it is misspelt. What a setting's value may be is in the settings of
each process.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from schemas.model import on_one_line
from schemas.sizes import AXIS, PARAMETER

PREFIX: Final = "HODEI_"

SETTINGS: Final = frozenset(
    {
        "HODEI_ALLOWED_HOSTS",
        "HODEI_AUTH",
        "HODEI_BOOTSTRAP_JOIN_TOKENS",
        "HODEI_BOOTSTRAP_TOKENS",
        "HODEI_CORS_ORIGINS",
        "HODEI_DATABASE_POOL",
        "HODEI_DATA_DIR",
        "HODEI_DRAIN_SECONDS",
        "HODEI_FEED",
        "HODEI_GRACE_SECONDS",
        "HODEI_HEARTBEAT_SECONDS",
        "HODEI_HOST",
        "HODEI_ISSUER_DIR",
        "HODEI_JOIN",
        "HODEI_LEASE_SECONDS",
        "HODEI_LIMIT_BODY",
        "HODEI_LIMIT_JOBS",
        "HODEI_LIMIT_REQUESTS",
        "HODEI_LIMIT_STREAMS",
        "HODEI_LIMIT_WAITING_REQUESTS",
        "HODEI_LINGER_MS",
        "HODEI_LOG_FORMAT",
        "HODEI_LOG_LEVEL",
        "HODEI_LOG_LIMIT",
        "HODEI_NAMESPACE",
        "HODEI_NATS_CA",
        "HODEI_NATS_CREDENTIALS",
        "HODEI_NATS_MONITORING_URL",
        "HODEI_OTLP_ENDPOINT",
        "HODEI_PREFETCH_MAX",
        "HODEI_PUBLIC_URL",
        "HODEI_PUBLISHED_HOST",
        "HODEI_RETENTION_ARCHIVED_PIPELINES",
        "HODEI_RETENTION_AUDIT",
        "HODEI_RETENTION_DEAD_LETTERS",
        "HODEI_RETENTION_EXECUTIONS",
        "HODEI_RETENTION_IDEMPOTENCY_KEYS",
        "HODEI_RETENTION_JOBS",
        "HODEI_RETENTION_JOBS_MAX",
        "HODEI_RETENTION_JOBS_PER_PIPELINE",
        "HODEI_RETENTION_LOGS",
        "HODEI_RETENTION_PIPELINE_VERSIONS",
        "HODEI_RETENTION_SCHEDULES",
        "HODEI_RETENTION_TIMELINES",
        "HODEI_RETENTION_WORKERS",
        "HODEI_SPOOL_LIMIT",
        "HODEI_START_DEADLINE",
        "HODEI_STATE_DIR",
        "HODEI_STOP_DEADLINE",
        "HODEI_STREAM_REPLICAS",
        "HODEI_TLS_CERT",
        "HODEI_TLS_KEY",
        "HODEI_TRACE_SAMPLE",
        "HODEI_TRUSTED_PROXIES",
        "HODEI_WORKER_CAPACITY",
        "HODEI_WORKER_ID",
        "HODEI_WORKER_LABELS",
        "HODEI_WORKER_NAME",
        "HODEI_WORKER_SLOTS",
        "HODEI_WORKER_TYPE",
    }
)
"""Declared by the settings classes of the services, the agent and the NATS exporter."""

OLDER: Final = frozenset({"HODEI_BODY_LIMIT", "HODEI_WORKER_TTL"})
"""Older names of settings that are still read: of HODEI_LIMIT_BODY."""

ADDRESSES: Final = frozenset({"HODEI_ORCHESTRATOR_URL", "HODEI_SCHEDULER_URL", "HODEI_WORKER_MANAGER_URL"})
"""Where the command line and the Python client find the services."""

OF_CLIENTS: Final = frozenset({"HODEI_CA", "HODEI_PROFILE", "HODEI_TOKEN"})
"""How the command line and the Python client call the services (docs/access.md)."""

OF_A_COMMAND: Final = frozenset(
    {
        "HODEI_ATTEMPT",
        "HODEI_EXECUTION_ID",
        "HODEI_JOB_ID",
        "HODEI_JOB_NAME",
        "HODEI_OUTPUT",
        "HODEI_STEP_NAME",
        "HODEI_TASK_ID",
        "HODEI_WORKER_ID",
        "HODEI_WORKER_INCARNATION",
    }
)
"""Set by the orchestrator and the agent in the environment of each command, beside those of the job's parameters."""

OF_COMPOSE: Final = frozenset({"HODEI_BIND", "HODEI_NETWORK", "HODEI_TLS_NAMES", "HODEI_VERSION"})
"""Read from the environment by Docker Compose for the compose files."""

OF_PROCESSES: Final = frozenset({"HODEI_LIFELINE_FD"})
"""Set by a process of the platform for those that it starts."""

WITHOUT_PREFIX: Final = frozenset(
    {
        "DATABASE_URL",
        "NATS_EXPORTER_PORT",
        "NATS_PORT",
        "NATS_URL",
        "ORCHESTRATOR_PORT",
        "POSTGRES_PORT",
        "SCHEDULER_PORT",
        "WORKER_MANAGER_PORT",
    }
)
"""Settings whose names do not begin with `HODEI_`."""

KNOWN: Final = SETTINGS | OLDER | ADDRESSES | OF_CLIENTS | OF_A_COMMAND | OF_COMPOSE | OF_PROCESSES


def unknown_variables(names: Iterable[str]) -> list[str]:
    """One clause for each of these names that begins with `HODEI_` and is not known, in order of the names."""
    return [
        _unknown(name)
        for name in sorted(names)
        if name.startswith(PREFIX) and name not in KNOWN and not name.startswith((PARAMETER, AXIS))
    ]


def _unknown(name: str) -> str:
    prefixed = {PREFIX + other: other for other in WITHOUT_PREFIX}
    nearest = get_close_matches(name, sorted(KNOWN | prefixed.keys()), n=1, cutoff=0.6)
    hint = f"did you mean {prefixed.get(nearest[0], nearest[0])}?" if nearest else "README.md lists all settings"
    return on_one_line(f"{name} is not a known setting; {hint}")
