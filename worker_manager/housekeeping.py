"""Forgetting what is only kept for a while: idempotency keys after a day."""

from typing import Final

from shared.database import Database
from shared.loop import Counts, Loop
from shared.web.idempotency import purge

INTERVAL: Final = 600.0


class Housekeeping(Loop):
    """Every ten minutes; what one run does not manage is left to the next."""

    def __init__(self, database: Database) -> None:
        super().__init__("housekeeping", interval=INTERVAL)
        self._database = database

    async def run_once(self) -> Counts:
        return {"idempotency_keys": await purge(self._database)}
