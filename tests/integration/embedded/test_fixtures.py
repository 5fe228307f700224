"""The fixtures that every other test stands on."""

from __future__ import annotations

import asyncpg
import nats
import pytest

from tests.fixtures.streams import remove_streams


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_test_finds_its_database_empty(database_url: str, turn: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE TABLE only_mine (id int)")
        assert await connection.fetchval("SELECT count(*) FROM only_mine") == 0
    finally:
        await connection.close()


async def test_a_namespace_takes_its_streams_along_and_no_others(nats_url: str, namespace: str) -> None:
    client = await nats.connect(nats_url)
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(name=f"{namespace}-jobs", subjects=[f"{namespace}.jobs.>"])
        await jetstream.add_stream(name=f"{namespace}2-jobs", subjects=[f"{namespace}2.jobs.>"])

        await remove_streams(nats_url, namespace)

        left = {stream.config.name for stream in await jetstream.streams_info()}
        assert f"{namespace}-jobs" not in left
        assert f"{namespace}2-jobs" in left
    finally:
        await remove_streams(nats_url, f"{namespace}2")
        await client.close()
