"""GET /api/v1/platform: the services as they describe themselves, those that do not answer, and their addresses."""

from __future__ import annotations

import pytest

from orchestrator import parts
from schemas.questions import SERVICE_OF, ServiceAnswer, ServiceQuestion
from shared.bus import Answering, answer, questions_asked
from shared.telemetry import Metrics
from shared.version import platform_version
from tests.integration.orchestrator.conftest import House


class Described:
    """A scheduler that tells about itself."""

    def __init__(self, **changes: object) -> None:
        self.answer = ServiceAnswer(version="9.9.9", port=4321, tls=False).model_copy(update=changes)
        self.asked = 0

    async def __call__(self, _asked: ServiceQuestion) -> ServiceAnswer:
        self.asked += 1
        return self.answer


def answering(house: House, how: Described) -> Answering:
    return Answering(house.bus, questions_asked(Metrics()), [answer(SERVICE_OF["scheduler"], how)])


async def test_it_shows_the_services_that_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FRESH", 0.0)
    scheduler = answering(house, Described(retention={"HODEI_RETENTION_SCHEDULES": "5d"}, features={"tracing": False}))
    await scheduler.start()
    await house.bus.flush()

    shown = await house.get("/api/v1/platform")

    assert shown["services"] == [
        {
            "name": "orchestrator",
            "url": house.url,
            "version": platform_version(),
            "port": int(house.url.rpartition(":")[2]),
        },
        {"name": "scheduler", "url": "http://127.0.0.1:4321", "version": "9.9.9", "port": 4321},
        {"name": "worker_manager", "url": None, "version": None, "port": None},
    ]
    assert (shown["access"], shown["namespace"]) == ("off", house.settings.namespace)
    assert shown["lease_seconds"] == house.settings.lease_seconds
    assert shown["retention"]["HODEI_RETENTION_SCHEDULES"] == "5d"
    assert shown["retention"]["HODEI_RETENTION_JOBS"] == "90d"
    assert shown["retention"]["HODEI_RETENTION_JOBS_MAX"] == "200000"
    assert shown["retention"]["HODEI_RETENTION_TIMELINES"] == "forever"
    assert shown["features"] == {"feed": False, "tracing": False}

    await scheduler.stop()
    await house.bus.flush()
    assert (await house.get("/api/v1/platform"))["services"][1] == {
        "name": "scheduler", "url": "http://127.0.0.1:4321", "version": None, "port": None,
    }  # fmt: skip


async def test_many_requests_ask_once(house: House) -> None:
    described = Described(public_url="https://hodei.example/scheduler")
    scheduler = answering(house, described)
    await scheduler.start()
    await house.bus.flush()

    urls = [(await house.get("/api/v1/platform"))["services"][1]["url"] for _ in range(10)]

    assert urls == ["https://hodei.example/scheduler"] * 10
    assert described.asked == 1
    await scheduler.stop()


async def test_addresses_are_those_of_the_host_that_was_called(house: House) -> None:
    port = house.url.rpartition(":")[2]
    for host, shown in (("localhost", "localhost"), ("[::1]:9", "[::1]"), ("one.localhost:1", "one.localhost")):
        services = (await house.get("/api/v1/platform", headers={"Host": host}))["services"]
        assert services[0]["url"] == f"http://{shown}:{port}"
