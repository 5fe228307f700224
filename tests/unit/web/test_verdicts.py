"""A request for what another service has to agree to: a refusal is answered, and a wait that is impossible is left."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from schemas.events import EventData, ScheduleConfirmed, ScheduleRefused
from schemas.refusals import RefusalReason, RefusedField, VerdictReason
from shared.bus import Listener
from shared.errors import Conflict, Forbidden, HodeiError, Invalid, NotFound, Overloaded
from shared.outbox import Outbox
from shared.web.load import LOAD, Limits, Load
from shared.web.verdicts import verdict

DEADLINE = 10.0


class Undone:
    """An outbox as far as a verdict needs one, and whether anything was taken back."""

    def __init__(self) -> None:
        self.undone = 0
        self.failed = 0

    def transaction(self) -> Undone:
        return self

    async def __aenter__(self) -> Undone:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def fails(self) -> None:
        self.failed += 1

    async def undo(self, tx: object) -> None:
        assert tx is self
        self.undone += 1


async def ask(load: Load, undone: Undone, *heard: EventData, within: float = DEADLINE) -> EventData | None:
    app = web.Application()
    app[LOAD] = load
    listener: Listener[EventData] = Listener()
    for event in heard:
        listener.tell(event)
    request = make_mocked_request("POST", "/api/v1/schedule", app=app)
    outbox = cast(Outbox, undone)
    return await verdict(request, listener, outbox=outbox, undo=undone.undo, of=("job", "j"), within=within)


def room(waiting: int = 1) -> Load:
    return Load(Limits(requests=10, waiting=waiting))


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (RefusalReason.NOT_FOUND, NotFound),
        (RefusalReason.FORBIDDEN, Forbidden),
        (RefusalReason.CONFLICT, Conflict),
        (RefusalReason.INVALID, Invalid),
        (RefusalReason.OVERLOADED, Overloaded),
    ],
)
async def test_a_refusal_is_answered_and_undone(reason: VerdictReason, error: type[HodeiError]) -> None:
    undone = Undone()
    with pytest.raises(error, match=r"there is no job j|because"):
        await ask(room(), undone, ScheduleRefused(schedule_id="s", reason=reason, detail="because"))
    assert (undone.undone, undone.failed) == (1, 1)


async def test_the_fields_that_a_refusal_names_are_those_of_the_request() -> None:
    wrong = RefusedField(loc=["body", "params", "count"], msg="should be a whole number", type="param_value")
    refused = ScheduleRefused(schedule_id="s", reason=RefusalReason.INVALID, detail="because", errors=[wrong])
    with pytest.raises(Invalid) as caught:
        await ask(room(), Undone(), refused)
    [error] = caught.value.errors
    assert (error.loc, error.msg, error.type) == (("body", "params", "count"), wrong.msg, wrong.type)


async def test_any_other_verdict_is_returned() -> None:
    undone, confirmed = Undone(), ScheduleConfirmed(schedule_id="s")
    assert await ask(room(), undone, confirmed) is confirmed
    assert await ask(room(), undone, within=0.001) is None
    assert undone.undone == 0


async def test_what_was_created_stays_when_too_many_wait_already() -> None:
    undone = Undone()
    refused = ScheduleRefused(schedule_id="s", reason=RefusalReason.CONFLICT, detail="no")
    assert await ask(room(waiting=0), undone, refused) is None
    assert undone.undone == 0


async def test_what_was_created_stays_when_the_service_stops() -> None:
    load, undone = room(), Undone()
    asyncio.get_running_loop().call_soon(load.interrupt)  # it runs once the request waits
    async with asyncio.timeout(DEADLINE / 2):
        assert await ask(load, undone) is None
    assert undone.undone == 0
