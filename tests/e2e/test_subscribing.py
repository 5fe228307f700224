"""Subscribers to the feed, as README.md shows them: what they hear, and that they can do nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import nats
import pytest

from hodei.client import Client
from tests.e2e.framework.data import command_job
from tests.e2e.framework.platform import Platform

README = Path(__file__).parents[2] / "README.md"
LINE = re.compile(r"^nats --creds \.hodei/(\S+) sub '(\S+)'", re.MULTILINE)


async def test_the_lines_of_the_readme_hear_a_job_fail(platform: Platform, client: Client) -> None:
    if platform.keys is None or platform.data_dir is None:
        pytest.skip("needs the NATS of hodei up")
    lines = LINE.findall(README.read_text())
    assert len(lines) == 2
    heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def keep(message: Any) -> None:
        heard.put_nowait((message.subject, json.loads(message.data)))

    assert platform.nats_url is not None
    connections = []
    try:
        for file, _ in lines:
            creds = str(platform.data_dir / file)
            connections.append(await nats.connect(platform.nats_url, user_credentials=creds))
        every_failure, one_life = (subject for _, subject in lines)
        await connections[0].subscribe(every_failure, cb=keep)
        await connections[0].flush()
        job = await client.submit(command_job("exit 3"))
        await connections[1].subscribe(one_life.replace("<id>", job.id), cb=keep)

        async with asyncio.timeout(20):
            while True:
                subject, event = await heard.get()
                if subject == f"hodei.feed.jobs.{job.id}.failed":
                    break
    finally:
        for connection in connections:
            await connection.close()
    assert (event["type"], event["data"]["job_id"]) == ("hodei.jobs.failed.v1", job.id)


async def test_a_subscriber_to_the_feed_can_neither_speak_nor_hear_more(platform: Platform) -> None:
    if platform.keys is None or platform.nats_url is None:
        pytest.skip("needs the NATS of hodei up")
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        refused.put_nowait(str(error))

    connection = await nats.connect(platform.nats_url, error_cb=note, **platform.reading)  # type: ignore[arg-type]
    try:
        await connection.publish("hodei.feed.jobs.x.failed", b"{}")
        await connection.subscribe("hodei.logs.>")
        async with asyncio.timeout(10):
            said = [await refused.get(), await refused.get()]
    finally:
        await connection.close()
    assert 'publish to "hodei.feed.jobs.x.failed"' in said[0]
    assert 'subscription to "hodei.logs.>"' in said[1]
