"""Runs several coroutines at the same time; the first failure ends all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from hodei.embedded.errors import EmbeddedError


async def together(*work: Coroutine[None, None, None]) -> None:
    """Run the coroutines at the same time. The first failure cancels the others; its EmbeddedError is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failed:
        ours, others = failed.split(EmbeddedError)
        if others is not None or ours is None:
            raise
        raise next(error for error in ours.exceptions if isinstance(error, EmbeddedError)) from None
