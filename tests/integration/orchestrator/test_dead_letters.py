"""Dead letters, as each service shows them over REST, and as the client and the command line use them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from hodei.client import Client
from hodei.client.errors import ApiError
from schemas.cloudevents import encode_batch, wrap
from schemas.events import EventData, JobSucceeded, TaskQueued
from schemas.subjects import DeadLetter
from shared.bus.letters import letter_id, place_of
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, scheduled


async def bury(house: House, data: EventData | str, consumer: str = "orchestrator-runs") -> None:
    """Have an event, or a text that is none, among the dead letters."""
    event: Any = data
    if not isinstance(data, str):
        [event] = json.loads(encode_batch([wrap(data, id=new_id(), source="/hodei/test", time=datetime.now(UTC))]))
    letter = DeadLetter(
        consumer=consumer,
        subject=house.bus.catalogue.event("executions.finished" if isinstance(data, str) else data.event_type),
        stream_seq=1,
        deliveries=5,
        error="ValueError: no",
        event=event,
    )
    subject = house.bus.catalogue.dead(consumer)
    await house.bus.publish(subject, letter.model_dump_json().encode(), msg_id=str(uuid.uuid4()))


async def running(house: House) -> Any:
    """A job that runs, and its outcome."""
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await house.say(placed)
    return job, finished(placed)


async def test_where_no_letter_was_ever_stored_there_is_none(house: House) -> None:
    assert await house.get("/api/v1/dead-letters") == []
    assert await house.get(f"/api/v1/dead-letters?job_id={new_id()}") == []


async def test_dead_letters_are_listed_read_and_resent(house: House) -> None:
    job, outcome = await running(house)
    await bury(house, outcome)
    await bury(house, outcome, consumer="scheduler-placement")  # another service's
    await bury(house, "{nonsense")
    text, letter = await house.get("/api/v1/dead-letters")
    assert (letter["consumer"], letter["event_type"]) == ("orchestrator-runs", "executions.finished")
    assert (letter["entity_id"], letter["job_id"]) == (outcome.execution_id, job["id"])
    assert (letter["error"], letter["resendable"], text["resendable"]) == ("ValueError: no", True, False)

    assert await house.get(f"/api/v1/dead-letters?job_id={job['id']}&event_type=executions.finished") == [letter]
    assert await house.get("/api/v1/dead-letters?consumer=feed") == []
    async with house.http.get(f"{house.url}/api/v1/dead-letters?limit=1") as answer:
        assert await answer.json() == [text]
        following = answer.links["next"]["url"]
    async with house.http.get(following) as answer:
        assert await answer.json() == [letter]

    shown = await house.get(f"/api/v1/dead-letters/{letter['id']}")
    assert shown["event"]["data"]["execution_id"] == outcome.execution_id
    await house.post(f"/api/v1/dead-letters/{text['id']}/resend", status=409)
    await house.post(f"/api/v1/dead-letters/{letter['id']}/resend", status=202)
    await house.ears.wait(JobSucceeded)
    await house.get(f"/api/v1/dead-letters/{letter['id']}", status=404)
    await house.call("DELETE", f"/api/v1/dead-letters/{text['id']}", status=204)
    await house.call("DELETE", f"/api/v1/dead-letters/{text['id']}", status=404)
    await house.get(f"/api/v1/dead-letters/{new_id()}", status=404)
    await house.get("/api/v1/dead-letters?cursor=x", status=422)


async def test_a_dead_letter_shows_no_secrets_and_is_resent_with_them(house: House) -> None:
    job = await house.submit(command="true", env={"DB_PASSWORD": "hidden", "URL": "nats://me:hidden@host", "A": "b"})
    order = await house.queued(job)
    await bury(house, order)
    await bury(house, order.model_dump_json()[:-1])  # one that was kept in part
    for letter in await house.get("/api/v1/dead-letters"):
        shown = await house.get(f"/api/v1/dead-letters/{letter['id']}")
        assert "hidden" not in json.dumps(shown)
        assert "nats://me:***@host" in json.dumps(shown)
    await house.post(f"/api/v1/dead-letters/{letter['id']}/resend", status=202)
    _, again = await house.ears.wait(TaskQueued, 2)
    assert again.run.env == order.run.env


async def test_the_client_and_the_command_line_resend_dead_letters(house: House) -> None:
    job, outcome = await running(house)
    await bury(house, outcome)
    await bury(house, "{nonsense")
    async with Client(house.url) as client:
        text, letter = [one async for one in client.dead_letters("orchestrator")]
        assert (await client.dead_letter("orchestrator", text.id)).event == "{nonsense"
        with pytest.raises(ApiError, match="409"):
            await client.resend_dead_letter("orchestrator", text.id)
        with pytest.raises(ValueError, match="no service"):
            client.dead_letters("postman")

    listed = await hodei(house, "list", "--service", "orchestrator", "--job", job["id"], "--json")
    assert [json.loads(line)["id"] for line in listed.splitlines()] == [letter.id]
    assert outcome.execution_id in await hodei(house, "show", letter.id)
    assert letter.id in await hodei(house, "resend", "--all", "--service", "orchestrator")
    await house.ears.wait(JobSucceeded)
    assert text.id in await hodei(house, "delete", text.id)
    assert await house.get("/api/v1/dead-letters") == []


def test_a_letters_id_names_its_place_and_no_other_id_does() -> None:
    moment = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert place_of(letter_id(12_345, moment)) == 12_345
    assert letter_id(12_345, moment) != letter_id(12_345, moment.replace(hour=13))
    assert place_of("00000000-0000-0000-0000-000000000000") is None
    assert uuid.UUID(letter_id(1, moment)).version == 7


async def hodei(house: House, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "dead-letters", *arguments,
        env=os.environ | {"HODEI_ORCHESTRATOR_URL": house.url}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()
