"""Asking another service while a request waits, and answering: request/reply on core NATS with a deadline.

One replica of the owner answers (a queue group). A question that nobody answers in time raises Unavailable, which
REST shows as 503. Nothing is repeated and nothing is kept: whoever asked may ask again. Which questions there are is
in `schemas.questions`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from schemas.model import EventModel
from schemas.questions import QuestionSpec, Refusal
from schemas.refusals import RefusalReason
from shared.bus.bus import Bus, Subscription
from shared.bus.errors import BusError
from shared.errors import BusUnavailable, HodeiError, NotFound, Unavailable
from shared.telemetry import Metrics

log = structlog.get_logger(__name__)

Q = TypeVar("Q", bound=EventModel)
A = TypeVar("A", bound=EventModel)

DEADLINE: Final = 2.0
"""Seconds that a question may take, unless the asker says otherwise."""
MOST: Final = 64
"""Questions that one process answers at the same time; one more is refused, and its asker answers 503."""

_ANSWER: Final = b'{"answer":'
_REFUSAL: Final = b'{"refusal":'


class Refused(HodeiError):
    """The owner of a question answered that it has no answer now; its own words."""


class _Reply(EventModel):
    answer: Any = None
    refusal: Refusal | None = None


async def ask(bus: Bus, spec: QuestionSpec[Q, A], question: Q, *, deadline: float = DEADLINE) -> A:
    """Ask the owner. Raises NotFound when it knows no such thing, Unavailable when no usable answer comes in time."""
    owner = f"the {spec.owner.replace('_', ' ')}"
    try:
        payload = await bus.request(
            bus.catalogue.question(spec), question.model_dump_json(exclude_none=True).encode(), timeout=deadline
        )
        reply = _Reply.model_validate_json(payload)
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
    """How one kind of question is answered. `how` may raise NotFound and Unavailable."""

    spec: QuestionSpec[Any, Any]
    how: Callable[[Any], Awaitable[EventModel]]


def answer(spec: QuestionSpec[Q, A], how: Callable[[Q], Awaitable[A]]) -> Answer:
    """Pair a question with the function that answers it."""
    return Answer(spec, how)


def questions_asked(metrics: Metrics) -> Counter:
    """What `Answering` counts on; declared when the process is wired, also where only a leader answers."""
    return metrics.counter(
        "questions_total",
        "Questions of other services, by kind and outcome: answered, not_found, unavailable, failed.",
        ["kind", "outcome"],
    )


class Answering:
    """Answers questions; a service. Each is answered by itself, so that a slow one holds up no other."""

    name: Final = "answering"

    def __init__(self, bus: Bus, asked: Counter, answers: Sequence[Answer]) -> None:
        self._bus = bus
        self._answers = answers
        self._asked = asked
        self._subscriptions: list[Subscription] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Hear questions."""
        for one in self._answers:
            subject = self._bus.catalogue.question(one.spec)
            subscription = await self._bus.subscribe(subject, self._hearer(one), queue=one.spec.owner)
            self._subscriptions.append(subscription)

    async def stop(self) -> None:
        """Hear no more, and answer what was asked."""
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
                return  # not asked by `ask`: there is nowhere to answer to
            if len(self._under_way) >= MOST:
                await self._send(one, reply, "unavailable", _refuse("too many questions"))
                return
            task = asyncio.create_task(self._answer(one, payload, reply), name=f"answer {one.spec.name}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

        return hear

    async def _answer(self, one: Answer, payload: bytes, reply: str) -> None:
        try:
            found = await one.how(one.spec.question.model_validate_json(payload))
        except NotFound as error:
            await self._send(one, reply, "not_found", _not_found(error))
        except Unavailable as error:
            await self._send(one, reply, "unavailable", _refuse(str(error)))
        except Exception:
            log.exception("question.failed", question=one.spec.name)
            await self._send(one, reply, "failed", _refuse("it could not be answered"))
        else:
            body = found.model_dump_json(exclude_none=True).encode()
            await self._send(one, reply, "answered", _ANSWER + body + b"}")

    async def _send(self, one: Answer, reply: str, outcome: str, payload: bytes) -> None:
        self._asked.labels(one.spec.name, outcome).inc()
        try:
            await self._bus.send(reply, payload)
        except (BusUnavailable, BusError) as error:  # whoever asked gets a 503
            log.info("question.answer_unsent", question=one.spec.name, error=str(error))


def _not_found(error: NotFound) -> bytes:
    return _refusal(Refusal(reason=RefusalReason.NOT_FOUND, detail=str(error), kind=error.kind, id=error.id))


def _refuse(detail: str) -> bytes:
    return _refusal(Refusal(reason=RefusalReason.UNAVAILABLE, detail=detail))


def _refusal(refusal: Refusal) -> bytes:
    return _REFUSAL + refusal.model_dump_json().encode() + b"}"
