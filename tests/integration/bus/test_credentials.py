"""The bus on a NATS that asks for credentials: who gets in, what a refusal looks like, and renewed credentials."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas import permissions
from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData, JobDeleted
from schemas.permissions import SERVICES, Permissions
from schemas.subjects import ConsumerSpec
from shared.bus import Bus
from shared.errors import BusUnavailable, ConfigError, NotPermitted, Unavailable
from shared.keys import Credentials
from shared.telemetry import Metrics
from tests.fixtures.guarded import WORKER, GuardedNats

BATCH = b"[]"


@asynccontextmanager
async def connected(bus: Bus) -> AsyncIterator[Bus]:
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


def bus_of(nats: GuardedNats, service: str, credentials: Path | None = None, **options: object) -> Bus:
    file = nats.credentials(service) if credentials is None else credentials
    return Bus(nats.url, name=service, namespace="acme", start_deadline=10, credentials=file, **options)  # type: ignore[arg-type]


def agents_bus(nats: GuardedNats) -> Bus:
    return bus_of(nats, "agent", nats.credentials(WORKER), inbox=("agents", WORKER), declares=False)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_declares_publishes_and_is_healthy(guarded_nats: GuardedNats, service: str) -> None:
    async with connected(bus_of(guarded_nats, service)) as bus:
        await bus.declare()
        await bus.publish(bus.catalogue.probe(service), b"x" * 10, msg_id="probe")

        assert await bus.healthy()


async def test_a_refused_publish_fails_at_once_with_its_subject(guarded_nats: GuardedNats) -> None:
    async with connected(bus_of(guarded_nats, "scheduler")) as bus:
        await bus.declare()

        async with asyncio.timeout(4):  # without the server's word it would be the deadline of five seconds
            with pytest.raises(NotPermitted, match=r"acme\.jobs\.deleted: the credentials of this process may not"):
                await bus.publish(bus.catalogue.event(JobDeleted.event_type), BATCH, msg_id="1")

        assert await bus.healthy()
        await bus.publish(bus.catalogue.event("tasks.scheduled"), BATCH, msg_id="2")  # others go through


async def test_a_refused_request_fails_at_once(guarded_nats: GuardedNats) -> None:
    async with connected(bus_of(guarded_nats, "scheduler")) as bus:
        async with asyncio.timeout(4):
            with pytest.raises(NotPermitted):
                await bus.request(bus.catalogue.agent(WORKER, "heartbeat"), b"", timeout=30)


async def test_a_question_and_its_answer_pass_between_services(guarded_nats: GuardedNats) -> None:
    async with (
        connected(bus_of(guarded_nats, "scheduler")) as scheduler,
        connected(bus_of(guarded_nats, "orchestrator")) as orchestrator,
    ):
        subject = orchestrator.catalogue.question("orchestrator", "task")

        async def reply(_subject: str, payload: bytes, inbox: str) -> None:
            await orchestrator.send(inbox, payload.upper())

        await orchestrator.subscribe(subject, reply)
        await orchestrator.flush()

        assert await scheduler.request(subject, b"who?", timeout=5) == b"WHO?"


async def test_an_agent_reports_and_declares_nothing(guarded_nats: GuardedNats) -> None:
    async with connected(bus_of(guarded_nats, "orchestrator")) as service:
        await service.declare()
        agent = bus_of(
            guarded_nats, "agent", guarded_nats.credentials(WORKER), inbox=("agents", WORKER), declares=False
        )
        async with connected(agent) as bus:
            await bus.publish(bus.catalogue.report("executions.started", WORKER), BATCH, msg_id="a")

            with pytest.raises(ConfigError, match="HODEI_NATS_CREDENTIALS: these are another user's"):
                await bus.declare()


async def test_an_answer_that_a_worker_has_sent_to_other_subjects_changes_nothing(guarded_nats: GuardedNats) -> None:
    """A publisher names the subject of JetStream's answer, and NATS does not check it."""
    metrics = Metrics()
    service = bus_of(guarded_nats, "orchestrator", metrics=metrics)
    async with connected(service), connected(agents_bus(guarded_nats)) as agent:
        await service.declare()
        heard: list[bytes] = []
        came = asyncio.Event()

        async def hear(_subject: str, payload: bytes, _reply: str) -> None:
            heard.append(payload)
            came.set()

        async def handle(events: list[CloudEvent[EventData]]) -> None:
            heard.extend(event.id.encode() for event in events)

        spec = ConsumerSpec("orchestrator-runs", "orchestrator", ("executions.finished",), ack_wait=30)
        consumer = service.consumer_of(spec, handle, decode=decode_batch)
        revoked = service.catalogue.event("tokens.revoked")
        await service.subscribe(revoked, hear)
        await consumer.start()
        await service.flush()
        try:
            for subject in (revoked, service.catalogue.event("executions.finished")):
                own = agent.catalogue.report("executions.started", WORKER)
                await agent._connection.publish(own, BATCH, reply=subject)
            await consumer.until(
                lambda: metrics.value("hodei_foreign_reports_total", kind="answer") == 2 and consumer.idle, deadline=10
            )
            await service.send(revoked, b"real")
            async with asyncio.timeout(10):
                await came.wait()
        finally:
            await consumer.stop()
        assert heard == [b"real"]
        assert consumer.dead == 0


async def test_an_agent_waits_for_the_services_to_declare_a_stream(
    guarded_nats: GuardedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publish finds no stream, and succeeds once one is there."""
    async with connected(bus_of(guarded_nats, "orchestrator")) as service:
        await service.declare()
        agent = bus_of(
            guarded_nats, "agent", guarded_nats.credentials(WORKER), inbox=("agents", WORKER), declares=False
        )
        looked = asyncio.Event()
        others = agent._declarations.others_declare

        async def note() -> None:
            looked.set()
            await others()

        monkeypatch.setattr(agent._publisher, "_declare", note)
        async with connected(agent) as bus:
            await _delete_streams(guarded_nats)
            published = asyncio.create_task(bus.publish(bus.catalogue.logs("x", WORKER), BATCH, msg_id="b"))
            await looked.wait()

            await service.declare()

            async with asyncio.timeout(5):
                await published


async def test_without_credentials_the_error_names_the_setting(guarded_nats: GuardedNats) -> None:
    bus = Bus(guarded_nats.url, name="orchestrator", namespace="acme", start_deadline=0.5)

    with pytest.raises(Unavailable, match="it asks for credentials: HODEI_NATS_CREDENTIALS is not set"):
        await bus.start()


async def test_a_worker_without_credentials_is_told_to_join(guarded_nats: GuardedNats) -> None:
    bus = Bus(guarded_nats.url, name="agent", namespace="acme", start_deadline=2, declares=False)

    with pytest.raises(Unavailable, match=r"a worker needs a join token \(hodei worker --join\)"):
        await bus.start()


async def test_a_file_without_credentials_stops_the_start_at_once(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.creds"
    wrong.write_text("secret words")

    for file, words in ((wrong, "these are not the credentials"), (tmp_path / "none.creds", "No such file")):
        with pytest.raises(ConfigError, match=f"HODEI_NATS_CREDENTIALS: .*{words}") as refused:
            await bus_of(guarded_nats, "orchestrator", file).start()
        assert "secret" not in str(refused.value)


async def test_renewed_credentials_are_used_at_the_next_connect(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.creds"
    shutil.copy(guarded_nats.credentials("scheduler"), file)
    held = Credentials.read(file)
    deleted = guarded_nats.catalogue.event(JobDeleted.event_type)
    more = permissions.service(guarded_nats.catalogue, "scheduler")
    async with connected(bus_of(guarded_nats, "scheduler", file)) as bus:
        await bus.declare()
        again = _until_connected(bus)
        renewed = guarded_nats.issuer.user(
            held.public, held.name, Permissions((*more.publish, deleted), more.subscribe)
        )
        file.write_text(Credentials(renewed, held.seed).text())

        await bus.reconnect()
        await again()

        await bus.publish(deleted, BATCH, msg_id="renewed")


async def test_a_file_that_is_missing_for_a_moment_is_tried_again(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    file, away = tmp_path / "scheduler.creds", tmp_path / "away.creds"
    shutil.copy(guarded_nats.credentials("scheduler"), file)
    async with connected(bus_of(guarded_nats, "scheduler", file)) as bus:
        again = _until_connected(bus)
        file.rename(away)
        await bus.reconnect()
        with pytest.raises(BusUnavailable):
            await bus.request(bus.catalogue.question("orchestrator", "task"), b"", timeout=0.5)

        away.rename(file)

        await again()


def _until_connected(bus: Bus) -> Callable[[], asyncio.Future[None]]:
    back: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(connected: bool) -> None:
        if connected and not back.done():
            back.set_result(None)

    bus.on_change(note)

    def wait() -> asyncio.Future[None]:
        return asyncio.ensure_future(asyncio.wait_for(back, 10))

    return wait


async def _delete_streams(nats: GuardedNats) -> None:
    everything = Permissions(("$JS.API.STREAM.DELETE.>",), ("_INBOX.acme.orchestrator.>",))
    file = nats.keys / "deleter.creds"
    file.write_text(nats.issuer.credentials("deleter", everything).text())
    async with connected(bus_of(nats, "orchestrator", file)) as bus:
        for name in ("logs", "dead"):
            await bus._connection.api(f"STREAM.DELETE.acme-{name}", {})
