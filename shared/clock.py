"""The current time in the one form that the project uses: aware and in UTC. Durations use `time.monotonic`."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)
