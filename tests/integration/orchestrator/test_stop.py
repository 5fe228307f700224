"""SIGTERM of the real process while clients wait for a job: all are answered, and nobody is turned away unwarned."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from tests.fixtures.services import running_service


async def test_who_waits_for_a_job_is_answered_and_the_end_is_said_before_the_door_closes(
    nats_url: str, migrated_database_url: str, namespace: str, tmp_path: Path
) -> None:
    async with (
        running_service(
            "orchestrator",
            nats_url=nats_url,
            database_url=migrated_database_url,
            namespace=namespace,
            folder=tmp_path,
        ) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as newcomer,
    ):
        loop = asyncio.get_running_loop()
        async with session.post(f"{running.url}/api/v1/jobs", data='{"command": "true"}') as answer:
            job = (await answer.json())["id"]

        async def wait() -> tuple[int, str, float]:
            async with session.get(f"{running.url}/api/v1/jobs/{job}/status?wait=60") as answer:
                return answer.status, (await answer.json())["status"], loop.time()

        async def knock() -> list[str]:
            """What /health says to new connections until there are none any more."""
            heard = []
            while True:
                try:
                    async with newcomer.get(f"{running.url}/health") as answer:
                        heard.append((await answer.json())["status"])
                except aiohttp.ClientConnectionError:
                    return heard

        waits = [asyncio.create_task(wait()) for _ in range(20)]
        while True:
            async with newcomer.get(f"{running.url}/metrics") as answer:
                if "hodei_http_requests_waiting 20.0" in await answer.text():
                    break
            await asyncio.sleep(0.02)
        knocking = asyncio.create_task(knock())
        began = loop.time()
        running.process.send_signal(signal.SIGTERM)

        answers = await asyncio.gather(*waits)
        heard = await knocking
        async with asyncio.timeout(20):
            code = await running.process.wait()

    assert {(status, word) for status, word, _ in answers} == {(200, "pending")}
    assert max(when for _, _, when in answers) - began < 8, "not at the deadline of the stop, which is 10 s"
    assert heard[-1] == "draining"
    assert code == 0
