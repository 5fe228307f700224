"""The ids that a person types: whole ones, or their last 8 characters.

The first characters of a UUIDv7 are its time, shared by everything that was made in the same minute; the last ones are
random.
"""

import re
from typing import Final

from hodei.client import Client, ClientError

SHORT: Final = re.compile(r"[0-9a-f]{8}")
SHOWN_AT_MOST: Final = 10


class NoSuchId(ClientError):
    """Nothing has an id that ends like this, or more than one thing has."""


async def whole_job_id(client: Client, text: str) -> str:
    """The id of the job that `text` stands for. Anything but 8 hexadecimal digits is taken as it is.

    Raises NoSuchId, in a message that lists what an ambiguous text could be, and ClientError.
    """
    short = text.strip().lower()
    if not SHORT.fullmatch(short):
        return text.strip()
    found = [
        (job.id, f"{job.status.value}  {job.name}") async for job in client.jobs(short_id=short, limit=SHOWN_AT_MOST)
    ]
    return _only("job", short, found)


async def whole_worker_id(client: Client, text: str) -> str:
    """The id of the worker that `text` stands for, as `whole_job_id`."""
    short = text.strip().lower()
    if not SHORT.fullmatch(short):
        return text.strip()
    found = [
        (worker.id, f"{worker.status.value}  {worker.name}")
        async for worker in client.registered_workers(limit=1000)
        if worker.id.endswith(short)
    ]
    return _only("worker", short, found)


def _only(kind: str, short: str, found: list[tuple[str, str]]) -> str:
    if len(found) == 1:
        return found[0][0]
    if not found:
        raise NoSuchId(f"there is no {kind} whose id ends with {short}")
    listed = "".join(f"\n  {id}  {described}" for id, described in found[:SHOWN_AT_MOST])
    raise NoSuchId(f"several {kind}s have an id that ends with {short}; give one of these:{listed}")
