"""Answers workers that ask for credentials on the bus; a service.

`enrolment` decides. NATS lets each user ask on its own subject only, so the subject tells who asks. A request also
names the subject of its answer; that has to be an inbox of the same user.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from pydantic import ValidationError

from schemas.enrolment import Enrol, Grant, Refusal, Renew
from schemas.ids import is_id
from shared.bus import Bus, BusError, Subscription
from shared.errors import BusUnavailable, Unavailable
from worker_manager.enrolment import Enrolments

log = structlog.get_logger(__name__)

MOST: Final = 16
"""Requests to enrol that are decided at the same time, and as many to renew. For more, the answer is to ask again."""
OF_ONE_TOKEN: Final = 4
"""Those with one join token, so that its holder cannot keep others from enrolling."""
OF_ONE_WORKER: Final = 1
QUEUE: Final = "worker_manager"


class Registrar:
    """Listens for requests to enrol and to renew."""

    name: Final = "registrar"

    def __init__(self, bus: Bus, enrolments: Enrolments) -> None:
        self._bus = bus
        self._enrolments = enrolments
        self._subscriptions: list[Subscription] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._enrolling: Counter[str] = Counter()
        self._renewing: Counter[str] = Counter()

    async def start(self) -> None:
        catalogue = self._bus.catalogue
        for subject, hear in (
            (catalogue.enrol("*"), self._hear_enrol),
            (catalogue.agent("*", "renew"), self._hear_renew),
        ):
            self._subscriptions.append(await self._bus.subscribe(subject, hear, queue=QUEUE))

    async def stop(self) -> None:
        """Unsubscribe, and end the answers that are under way; workers ask again."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _hear_enrol(self, subject: str, payload: bytes, reply: str) -> None:
        join_token_id = subject.rpartition(".")[2]
        inbox = self._bus.catalogue.inbox("enrol", join_token_id)

        async def decide() -> Grant:
            return await self._enrolments.enrol(join_token_id, Enrol.model_validate_json(payload))

        await self._hear(join_token_id, inbox, reply, decide, self._enrolling, OF_ONE_TOKEN)

    async def _hear_renew(self, subject: str, payload: bytes, reply: str) -> None:
        worker_id = subject.split(".")[-2]
        inbox = self._bus.catalogue.inbox("agents", worker_id)

        async def decide() -> Grant:
            return await self._enrolments.renew(worker_id, Renew.model_validate_json(payload))

        await self._hear(worker_id, inbox, reply, decide, self._renewing, OF_ONE_WORKER)

    async def _hear(
        self,
        id: str,
        inbox: str,
        reply: str,
        decide: Callable[[], Awaitable[Grant]],
        asking: Counter[str],
        of_one: int,
    ) -> None:
        if not is_id(id) or not reply.startswith(f"{inbox}."):
            log.warning("registrar.unanswerable", subject=reply)
            return
        if asking[id] >= of_one or asking.total() >= MOST:
            await self._answer(reply, _again("too many workers ask at once"))
            return

        def ended(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            asking[id] -= 1
            if not asking[id]:
                del asking[id]

        asking[id] += 1
        task = asyncio.create_task(self._decide(reply, decide), name="enrolment")
        self._under_way.add(task)
        task.add_done_callback(ended)

    async def _decide(self, reply: str, decide: Callable[[], Awaitable[Grant]]) -> None:
        try:
            grant = await decide()
        except ValidationError as error:
            grant = Grant(refusal=Refusal.UNREADABLE, detail=_first(error))
        except Unavailable as error:
            grant = _again(str(error))
        except Exception:
            log.exception("registrar.failed")
            grant = _again("it could not be decided")
        await self._answer(reply, grant)

    async def _answer(self, reply: str, grant: Grant) -> None:
        try:
            await self._bus.send(reply, grant.model_dump_json(exclude_none=True).encode())
        except (BusUnavailable, BusError) as error:
            log.info("registrar.answer_unsent", error=str(error))  # the worker asks again


def _again(detail: str) -> Grant:
    return Grant(refusal=Refusal.UNAVAILABLE, detail=detail)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
