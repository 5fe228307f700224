"""A process that stands for leadership of the role `trial`, and says on standard output what becomes of it."""

import asyncio
import sys

from shared.postgres import Database, Leadership
from shared.telemetry import Metrics
from tests.fixtures.processes import say


class Duty:
    """A leader's service that says when its term begins and ends."""

    name = "duty"

    async def start(self) -> None:
        say("started")

    async def stop(self) -> None:
        say("stopped")


async def stand(url: str) -> None:
    database = Database(url, schema="trial", name="candidate", min_size=1, max_size=4)
    await database.start()
    await Leadership(database, "trial", lambda: [Duty()], Metrics()).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stand(*sys.argv[1:]))
