"""How a process learns of tokens: from its own table at the start, from events at once, and from a whole list.

The orchestrator publishes `tokens.created` and `tokens.revoked`. Every replica of every service hears them on core
NATS, where a message is lost while the process is disconnected. Therefore it also reads the whole list at the start,
after each reconnection and once a minute: the orchestrator from its table, the other services by a question, which also
carries when they saw tokens in use. While NATS is unavailable the last list stays, in memory and in the table.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from schemas.access import KnownToken
from schemas.cloudevents import MalformedEvents, decode_batch
from schemas.events import TokenCreated, TokenRevoked
from schemas.questions import TOKENS, TokensAnswer, TokensQuestion
from shared.access.known import KnownTokens
from shared.access.principal import Principal
from shared.access.store import MOST_EXPIRED, PAGE, KnownTokenStore, moments
from shared.bus import Bus, Subscription, ask
from shared.errors import BusUnavailable, HodeiError, Unavailable
from shared.service import Counts, Loop
from shared.telemetry import Metrics

EVERY: Final = 60.0
"""Seconds between two whole lists."""
MOST_TOKENS: Final = 10_000
"""The most tokens that are in force at a time."""
MOST_KNOWN: Final = 2 * (MOST_TOKENS + MOST_EXPIRED)
"""Where the reading of a list ends in any case. It is far above what a list has."""
REVOKED_REMEMBERED: Final = 10_000
"""The last revocations that a process remembers, so that an older list does not bring them back."""

_log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where the whole list comes from."""

    async def read(self, used: Mapping[str, datetime]) -> Sequence[KnownToken]:
        """All tokens that are to be known. `used` says when this process saw tokens in use since its last reading.
        Raises Unavailable."""
        ...


class OwnTable:
    """The orchestrator's source: its own table."""

    def __init__(self, store: KnownTokenStore) -> None:
        self._store = store

    async def read(self, used: Mapping[str, datetime]) -> Sequence[KnownToken]:
        await self._store.note_use(used)
        return await self._store.all()

    async def answer(self, asked: TokensQuestion) -> TokensAnswer:
        """A page of the list, for another service."""
        await self._store.note_use(asked.used)
        found = await self._store.page(asked.after)
        return TokensAnswer(tokens=found[:PAGE], more=len(found) > PAGE)


class Asking:
    """The other services' source: the orchestrator's answers, which they copy into their own table."""

    def __init__(self, bus: Bus, store: KnownTokenStore) -> None:
        self._bus = bus
        self._store = store

    async def read(self, used: Mapping[str, datetime]) -> Sequence[KnownToken]:
        answer = await ask(self._bus, TOKENS, TokensQuestion(used=dict(used)))
        tokens = list(answer.tokens)
        while answer.more and len(tokens) < MOST_KNOWN:
            answer = await ask(self._bus, TOKENS, TokensQuestion(after=tokens[-1].token_id))
            tokens += answer.tokens
        return tokens


class TokenSync(Loop):
    """A service that keeps `known` up to date. `copies` says whether the table is a copy that this process writes."""

    def __init__(
        self,
        bus: Bus,
        known: KnownTokens,
        store: KnownTokenStore,
        source: Source,
        *,
        copies: bool,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("tokens", interval=EVERY)
        self._bus = bus
        self.known = known
        self._store = store
        self._source = source
        self._copies = copies
        self._clock = clock
        self._subscriptions: list[Subscription] = []
        self._stop_listening: Callable[[], None] = lambda: None
        self._told_use = 0.0
        self._created: dict[str, KnownToken] = {}
        """Tokens that were created while a list was being read, which it may lack."""
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._read_at: float | None = None
        metrics.gauge(
            "access_tokens",
            "Tokens that this process knows: those that it accepts, and those that expired within 30 days.",
        ).set_function(lambda: len(known))
        metrics.gauge(
            "access_tokens_age_seconds",
            "Time since this process last read the whole list of tokens, in seconds; 0 with access off.",
        ).set_function(self._age)

    async def start(self) -> None:
        """Know the tokens of the table, listen, and try to read the whole list: a revocation that this process missed
        while it was down is then known before its first request."""
        self.known.complete = False
        self.known.replace({bytes.fromhex(one.sha256): principal_of(one) for one in await self._store.all()})
        for event in (TokenCreated, TokenRevoked):
            subject = self._bus.catalogue.event(event.event_type)
            self._subscriptions.append(await self._bus.subscribe(subject, self._hear))
        self._stop_listening = self._bus.on_change(self._connection_changed)
        self._read_at = self._clock()
        try:
            await self.run_once()
        except (Unavailable, BusUnavailable) as error:
            _log.info("tokens.not_read", known=len(self.known), error=str(error))
        await super().start()

    async def stop(self) -> None:
        self._stop_listening()
        await super().stop()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    async def run_once(self) -> Counts:
        """Read the whole list."""
        self._created = {}
        began = self._clock()
        tokens = await self._source.read(moments(self.known.used_since(self._told_use)))
        self._told_use = began
        wanted = {one.token_id: one for one in tokens} | self._created
        kept = [one for one in wanted.values() if one.token_id not in self._revoked]
        self.known.replace({bytes.fromhex(one.sha256): principal_of(one) for one in kept})
        self.known.complete = True
        self._read_at = self._clock()
        if self._copies:
            await self._store.keep_only(kept)
        return {}

    def created(self, token: KnownToken) -> None:
        """Accept a token from now on."""
        if token.token_id not in self._revoked:
            self._created[token.token_id] = token
            self.known.put(bytes.fromhex(token.sha256), principal_of(token))

    def revoked(self, token_id: str, digest: bytes) -> None:
        """Refuse a token from now on."""
        self._revoked[token_id] = None
        while len(self._revoked) > REVOKED_REMEMBERED:
            self._revoked.popitem(last=False)
        self._created.pop(token_id, None)
        self.known.forget(digest)

    def _age(self) -> float:
        return 0.0 if self._read_at is None else max(0.0, self._clock() - self._read_at)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self.wake()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        event_type = self._bus.catalogue.event_type(subject)
        try:
            events = [event.data for event in decode_batch(event_type, payload)]
        except MalformedEvents as error:
            _log.warning("tokens.unreadable", event_type=event_type, error=str(error))
            return
        for event in events:  # first all of them in memory: the table may be slow
            if isinstance(event, TokenCreated):
                self.created(event)
            elif isinstance(event, TokenRevoked):
                self.revoked(event.token_id, bytes.fromhex(event.sha256))
        if self._copies:
            await self._write(events)

    async def _write(self, events: Sequence[object]) -> None:
        try:
            for event in events:
                if isinstance(event, TokenCreated) and event.token_id not in self._revoked:
                    await self._store.keep(event)
                elif isinstance(event, TokenRevoked):
                    await self._store.forget(event.token_id, bytes.fromhex(event.sha256), event.name)
        except HodeiError as error:  # the next whole list writes it
            _log.warning("tokens.not_written", error=str(error))


def principal_of(token: KnownToken) -> Principal:
    """Who a request with this token acts for."""
    return Principal(token.token_id, token.name, token.role, token.expires_at)
