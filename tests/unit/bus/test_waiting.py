"""While NATS is away, the log says so at once, and again every ten seconds."""

from __future__ import annotations

from structlog.testing import capture_logs

from shared.bus.connection import WAITING_TOLD, Connection
from shared.bus.metrics import BusMetrics
from shared.telemetry import Metrics


async def test_a_server_that_stays_away_is_told_of_with_its_address_now_and_then() -> None:
    now = 100.0
    connection = Connection(
        "nats://me:hidden@here:4222, nats://there:4223",
        name="trial",
        start_deadline=1.0,
        metrics=BusMetrics(Metrics()),
        clock=lambda: now,
    )
    with capture_logs() as logged:
        for _ in range(int(4.5 * WAITING_TOLD)):
            await connection._on_error(ConnectionRefusedError("refused"))
            now += 1.0
    assert [(entry["event"], entry["error"]) for entry in logged] == [("bus.waiting", "refused")] * 5
    assert {entry["url"] for entry in logged} == {"here:4222, there:4223"}
