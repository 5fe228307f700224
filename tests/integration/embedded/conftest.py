"""These tests are about the embedded servers themselves, whatever TEST_BACKEND gives to the others."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[EmbeddedPostgres]]]:
    """Starts a PostgreSQL that the test may stop and restart; costs a second."""
    async with AsyncExitStack() as stack:

        async def start() -> EmbeddedPostgres:
            folder = tmp_path / f"postgres-{uuid.uuid4().hex[:6]}"
            return await stack.enter_async_context(EmbeddedPostgres(folder, fsync=False))

        yield start


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[EmbeddedNats]]]:
    """Starts a NATS server that the test may stop and restart on the same port."""
    async with AsyncExitStack() as stack:

        async def start() -> EmbeddedNats:
            return await stack.enter_async_context(EmbeddedNats(tmp_path / f"nats-{uuid.uuid4().hex[:6]}"))

        yield start
