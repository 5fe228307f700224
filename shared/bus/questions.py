"""Asking another service while a request waits, and answering: request/reply on core NATS with a deadline.

One replica of the owner answers (a queue group). A question without an answer in time raises Unavailable, which REST
shows as 503. Questions are neither stored nor retried; the caller may ask again. `schemas.questions` lists them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from schemas.model import EventModel
from schemas.questions import Owner, QuestionSpec, Refusal
from schemas.refusals import RefusalReason
from shared.bus.bus import Bus, Subscription
from shared.bus.errors import BusError
from shared.errors import BusUnavailable, HodeiError, NotFound, Unavailable
from shared.telemetry import Metrics

log = structlog.get_logger(__name__)

Q = TypeVar("Q", bound=EventModel)
A = TypeVar("A", bound=EventModel)

DEADLINE: Final = 2.0
"""Default deadline of a question, in seconds."""
MOST: Final = 64
"""Most questions that one process answers at the same time; it refuses more, and the asking service returns 503."""

_ANSWER: Final = b'{"answer":'
_REFUSAL: Final = b'{"refusal":'


class Refused(HodeiError):
    """The owner of a question answered that it has no answer now; the message is the owner's."""


class _Reply(EventModel):
    answer: object = None
    refusal: Refusal | None = None


async def ask(bus: Bus, spec: QuestionSpec[Q, A], question: Q, *, deadline: float = DEADLINE) -> A:
    """Ask the owner. Raises NotFound when the entity does not exist, Unavailable without a usable answer in time."""
    owner = f"the {spec.owner.replace('_', ' ')}"
    try:
        subject, payload = bus.catalogue.question(spec.owner, spec.name), question.model_dump_json(exclude_none=True)
        reply = _Reply.model_validate_json(await bus.request(subject, payload.encode(), timeout=deadline))
        if reply.refusal is None:
            return spec.answer.model_validate(reply.answer)
    except BusUnavailable as error:
        raise Unavailable(owner) from error
    except ValidationError as error:
        log.warning("question.unreadable_answer", question=spec.name, error=str(error).splitlines()[0])
        raise Unavailable(owner) from error
    if reply.refusal.reason is RefusalReason.NOT_FOUND:
        raise NotFound(reply.refusal.kind, reply.refusal.id)
    raise Unavailable(owner) from Refused(reply.refusal.detail)


@dataclass(frozen=True)
class Answer:
    """One kind of question, and the function that answers its JSON; `of` may raise NotFound and Unavailable, and
    ValidationError for a question that it cannot read."""

    name: str
    owner: Owner
    of: Callable[[bytes], Awaitable[EventModel]]


def answer(spec: QuestionSpec[Q, A], how: Callable[[Q], Awaitable[A]]) -> Answer:
    """Pair a question with the function that answers it; `how` may raise NotFound and Unavailable."""

    async def of(payload: bytes) -> EventModel:
        return await how(spec.question.model_validate_json(payload))

    return Answer(spec.name, spec.owner, of)


def questions_asked(metrics: Metrics) -> Counter:
    """The counter that `Answering` needs. A process declares it at start, even if only a leader answers."""
    return metrics.counter(
        "questions_total",
        "Questions from other services, by kind and outcome: answered, not_found, unavailable, failed.",
        ["kind", "outcome"],
    )


class Answering:
    """Answers questions; a service. It answers them concurrently, so that a slow one does not delay others."""

    name: Final = "answering"

    def __init__(self, bus: Bus, asked: Counter, answers: Sequence[Answer]) -> None:
        self._bus = bus
        self._answers = answers
        self._asked = asked
        self._subscriptions: list[Subscription] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Subscribe to the questions."""
        for one in self._answers:
            subject = self._bus.catalogue.question(one.owner, one.name)
            subscription = await self._bus.subscribe(subject, self._hearer(one), queue=one.owner)
            self._subscriptions.append(subscription)

    async def stop(self) -> None:
        """Unsubscribe, and answer the open questions within DEADLINE."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=DEADLINE)
        for task in self._under_way:
            task.cancel()

    def _hearer(self, one: Answer) -> Callable[[str, bytes, str], Awaitable[None]]:
        async def hear(_subject: str, payload: bytes, reply: str) -> None:
            if not reply:
                return  # not sent by `ask`: there is no reply subject
            if len(self._under_way) >= MOST:
                await self._send(one, reply, "unavailable", _refuse("too many questions"))
                return
            task = asyncio.create_task(self._answer(one, payload, reply), name=f"answer {one.name}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

        return hear

    async def _answer(self, one: Answer, payload: bytes, reply: str) -> None:
        try:
            found = await one.of(payload)
        except NotFound as error:
            await self._send(one, reply, "not_found", _not_found(error))
        except Unavailable as error:
            await self._send(one, reply, "unavailable", _refuse(str(error)))
        except Exception:
            log.exception("question.failed", question=one.name)
            await self._send(one, reply, "failed", _refuse("it could not be answered"))
        else:
            body = found.model_dump_json(exclude_none=True).encode()
            await self._send(one, reply, "answered", _ANSWER + body + b"}")

    async def _send(self, one: Answer, reply: str, outcome: str, payload: bytes) -> None:
        self._asked.labels(one.name, outcome).inc()
        try:
            await self._bus.send(reply, payload)
        except (BusUnavailable, BusError) as error:  # the asking service returns 503
            log.info("question.answer_unsent", question=one.name, error=str(error))


def _not_found(error: NotFound) -> bytes:
    return _refusal(Refusal(reason=RefusalReason.NOT_FOUND, detail=str(error), kind=error.kind, id=error.id))


def _refuse(detail: str) -> bytes:
    return _refusal(Refusal(reason=RefusalReason.UNAVAILABLE, detail=detail))


def _refusal(refusal: Refusal) -> bytes:
    return _REFUSAL + refusal.model_dump_json().encode() + b"}"
