"""Requests for credentials: one sender cannot keep the others from enrolling or renewing."""

from __future__ import annotations

import asyncio

from schemas.enrolment import Enrol, Grant, Refusal, Renew
from schemas.subjects import Catalogue
from shared.ids import new_id
from shared.keys import KeyPair, Kind
from worker_manager.registrar import MOST, OF_ONE_TOKEN, Registrar

CATALOGUE = Catalogue("hodei")
KEY = KeyPair.new(Kind.USER).public


class Desk:
    """Decides when it is allowed to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def enrol(self, join_token_id: str, claim: Enrol) -> Grant:
        return await self._decide(join_token_id)

    async def renew(self, worker_id: str, ask: Renew) -> Grant:
        return await self._decide(worker_id)

    async def _decide(self, id: str) -> Grant:
        self.asked.append(id)
        await self.go.wait()
        return Grant(jwt="x")


class Answers:
    """A bus that keeps what is sent."""

    catalogue = CATALOGUE

    def __init__(self) -> None:
        self.sent: list[Grant] = []

    async def send(self, subject: str, payload: bytes) -> None:
        self.sent.append(Grant.model_validate_json(payload))


async def ask_to_enrol(registrar: Registrar, join_token_id: str) -> None:
    proof = "A" * 86 + "=="  # the desk of these tests does not check it
    claim = Enrol(worker_id=new_id(), name="w", type="default", labels={}, user_key=KEY, proof=proof)
    inbox = CATALOGUE.inbox("enrol", join_token_id)
    await registrar._hear_enrol(CATALOGUE.enrol(join_token_id), claim.model_dump_json().encode(), f"{inbox}.1")


async def ask_to_renew(registrar: Registrar, worker_id: str) -> None:
    ask, inbox = Renew(user_key=KEY), CATALOGUE.inbox("agents", worker_id)
    await registrar._hear_renew(CATALOGUE.agent(worker_id, "renew"), ask.model_dump_json().encode(), f"{inbox}.1")


async def all_decided(registrar: Registrar, desk: Desk) -> None:
    desk.go.set()
    await asyncio.gather(*registrar._under_way)
    await asyncio.sleep(0)


async def test_one_sender_does_not_starve_the_others() -> None:
    desk, bus = Desk(), Answers()
    registrar = Registrar(bus, desk)  # type: ignore[arg-type]  # as far as it uses them
    greedy, other, worker = new_id(), new_id(), new_id()
    for _ in range(40):
        await ask_to_enrol(registrar, greedy)
        await ask_to_renew(registrar, worker)
    assert [one.refusal for one in bus.sent] == [Refusal.UNAVAILABLE] * (80 - OF_ONE_TOKEN - 1)
    await ask_to_enrol(registrar, other)
    await ask_to_renew(registrar, new_id())
    await all_decided(registrar, desk)
    assert desk.asked.count(greedy) == OF_ONE_TOKEN
    assert (desk.asked.count(worker), desk.asked.count(other), len(desk.asked)) == (1, 1, OF_ONE_TOKEN + 3)

    desk.asked.clear()
    await ask_to_renew(registrar, worker)
    await all_decided(registrar, desk)
    assert desk.asked == [worker], "its share is free again"


async def test_all_together_are_limited_for_each_kind() -> None:
    desk, bus = Desk(), Answers()
    registrar = Registrar(bus, desk)  # type: ignore[arg-type]  # as far as it uses them
    for _ in range(MOST + 4):
        await ask_to_enrol(registrar, new_id())
    assert len(bus.sent) == 4
    await ask_to_renew(registrar, new_id())
    assert len(bus.sent) == 4, "requests to renew have room of their own"
    await all_decided(registrar, desk)
