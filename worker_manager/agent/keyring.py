"""The agent's credentials for NATS: got with a join token, renewed at half their life, kept in the state folder.

The key pair is made here, and its seed never leaves the machine. Besides the credentials for its work, the worker has
others with which it may only ask for new ones; these are good for weeks, so that an outage of NATS or of the worker
manager, or a machine that was off, costs no worker. Both are requests on a connection of their own (`shared.bus`).
"""

import asyncio
import base64
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import structlog
from pydantic import ValidationError

from schemas.enrolment import Enrol, Grant, JoinTokenText, Refusal, Renew, proof_text
from schemas.subjects import Catalogue
from shared.bus import Errand, NotAdmitted, knock, run_errand
from shared.errors import BusUnavailable, ConfigError, Unavailable
from shared.keys import (
    BadClaims,
    Credentials,
    KeyPair,
    Kind,
    bounds_in,
    keep_private,
    private_folder,
    read_text,
)
from shared.worker_keys import FOLDER, credentials_in, holder_in, keep_keys, renewal_in
from worker_manager.agent.identity import Identity

log = structlog.stdlib.get_logger(__name__)

SEED: Final = "user.seed"
HALF: Final = 0.5
"""The part of their life after which credentials are renewed, and up to a tenth more, so that workers that started
together do not ask together."""
LOOK_EVERY: Final = 60.0
"""The most seconds between two looks at the clock, which may be set."""
CUT_OFF: Final = 5.0
"""Seconds without a connection after which the worker asks whether its credentials are still good."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
MARGIN: Final = 5.0
"""Seconds before their end at which credentials count as expired."""
TIMES_REFUSED: Final = 3
"""How often in a row NATS refuses a worker until it believes that it was revoked."""


ANEW: Final = "a new worker needs another state folder (--state-dir) and a join token (--join)"
"""What to do about a worker that was revoked."""
EXPIRED: Final = "this worker's credentials for NATS have expired: start it with a new join token"
REVOKED: Final = f"NATS does not accept this worker's credentials: it was revoked; {ANEW}"


class Refused(ConfigError):
    """The worker gets no credentials, however often it asks."""


class Revoked(Refused):
    """The worker manager says that this worker was revoked."""


class CoreBus(Protocol):
    """The part of the bus that the keyring uses."""

    @property
    def connected(self) -> bool: ...

    async def reconnect(self) -> None: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...


class Keyring:
    """A service that starts before the bus. `state` is the state folder, `join` the file of a join token, which may be
    a descriptor (`/dev/fd/N`). `given`: whether the worker has credentials from elsewhere. `leave` is called when the
    worker was revoked; `refusal` then says why."""

    name: Final = "keyring"

    def __init__(
        self,
        state: Path,
        identity: Identity,
        catalogue: Catalogue,
        *,
        url: str,
        ca: Path | None = None,
        join: Path | None,
        given: bool = False,
        start_deadline: float,
        leave: Callable[[], None],
        cut_off: float = CUT_OFF,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._identity = identity
        self._catalogue = catalogue
        self._url = url
        self._ca = ca
        self._join = None if join is None else _read_once(join)
        self._given = given
        self._start_deadline = start_deadline
        self._leave = leave
        self._cut_off = cut_off
        self._clock = clock
        self._bus: CoreBus | None = None
        self.jwt: str | None = None
        """The signed part of the credentials, which heartbeats show."""
        self.refusal: str | None = None
        """Why the worker had to leave."""
        self._changed = asyncio.Event()
        self._forget: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    @property
    def file(self) -> Path | None:
        """The file of the worker's own credentials, which exists once this has started. None for a worker that has
        neither any nor a join token."""
        file = credentials_in(self._state)
        return file if self._join is not None or file.exists() else None

    def serve(self, bus: CoreBus) -> None:
        """Reconnect this bus whenever there are new credentials."""
        self._bus = bus

    async def start(self) -> None:
        """Make sure that the credentials are good, then keep them so. Raises Refused when the worker gets none, and
        Unavailable without an answer within the start deadline."""
        if self.file is None:
            await self._do_without()
            return
        self._check_holder()
        give_up, pause = time.monotonic() + self._start_deadline, FIRST_PAUSE
        good = self._good(credentials_in(self._state)) and not self._outgrown() and await self._admitted()
        if good and self._join is not None:
            log.info("keyring.join_token_not_needed", join_token_id=self._join.id)
        due = self._due() if good else 0.0
        while not good:
            try:
                due = await self._ask()
                good = True
            except BusUnavailable as error:
                if time.monotonic() + pause > give_up:
                    raise Unavailable(f"enrolment at NATS ({error})") from error
                log.info("keyring.waiting", error=str(error))
                await asyncio.sleep(pause)
        if self._bus is not None:
            self._forget = self._bus.on_change(lambda _connected: self._changed.set())
        self._task = asyncio.create_task(self._keep(due), name=self.name)

    def _check_holder(self) -> None:
        """Raises Refused when the credentials are another worker's: NATS would let this one say nothing."""
        holder, worker_id = holder_in(self._state), self._identity.worker_id
        if holder is not None and holder != worker_id:
            raise Refused(
                f"{self._state / FOLDER} has the credentials of worker {holder}, not of {worker_id}: start that "
                "worker, or remove the folder and start this one with a join token"
            )

    async def stop(self) -> None:
        self._forget()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _keep(self, due: float) -> None:
        """Renew at half life, first at `due`, and when the worker is cut off: its credentials may be the reason."""
        pause, refused = FIRST_PAUSE, 0
        while True:
            cut_off = refused > 0 or await self._rest(max(0.0, due - self._clock()))
            if not cut_off and self._clock() < due:
                continue
            try:
                due = await self._ask()
                if self._bus is not None:
                    await self._bus.reconnect()
                log.info("keyring.renewed")
                pause, refused = FIRST_PAUSE, 0
                continue
            except BusUnavailable as error:
                log.info("keyring.not_renewed", error=str(error))
                refused = 0
            except Refused as error:
                refused += 1
                log.error("keyring.refused", error=str(error))
                if refused >= TIMES_REFUSED or isinstance(error, Revoked):
                    self.refusal = str(error)
                    self._leave()
                    return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE) if not refused else FIRST_PAUSE

    async def _rest(self, seconds: float) -> bool:
        """Wait so long, or LOOK_EVERY. Returns early, with True, when the bus has been disconnected for
        `cut_off` seconds."""
        self._changed.clear()
        if self._bus is None or self._bus.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, LOOK_EVERY)):
                    await self._changed.wait()
        if self._bus is None or self._bus.connected:
            return False
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._cut_off):
                await self._changed.wait()
        return not self._bus.connected

    def _due(self) -> float:
        """When the credentials in the file are to be renewed."""
        credentials = Credentials.read(credentials_in(self._state))
        self.jwt = credentials.jwt
        return credentials.issued + _rest_of(credentials)

    def _good(self, file: Path) -> bool:
        if not file.exists():
            return False
        expiry = Credentials.read(file).expiry
        return expiry is None or expiry > self._clock() + MARGIN

    def _outgrown(self) -> bool:
        """Whether this worker has a join token, and a type or labels that its credentials do not allow, because they
        were changed since it enrolled."""
        file, identity = credentials_in(self._state), self._identity
        if self._join is None or not file.exists():
            return False
        held = Credentials.read(file)
        try:
            bounds = bounds_in(held.jwt, account=held.issuer, worker_id=identity.worker_id)
        except BadClaims:
            return False  # those of an earlier version
        return bounds.broken_by(identity.type, identity.labels) is not None

    async def _ask(self) -> float:
        """Get new credentials: renewed ones, or with the join token. Returns when to renew them by this machine's
        clock, which may be wrong. Raises Refused, and BusUnavailable."""
        await self._get()
        credentials = Credentials.read(credentials_in(self._state))
        self.jwt = credentials.jwt
        return self._clock() + _rest_of(credentials)

    async def _do_without(self) -> None:
        """Raises Refused when NATS asks for credentials, of which this worker has none. A server that does not answer
        yet is left to the bus, which waits for it."""
        if self._given or "@" in self._url:
            return
        with suppress(BusUnavailable):
            try:
                await knock(self._url, None, name="agent-keys", ca=self._ca)
            except NotAdmitted:
                raise Refused(
                    "NATS asks for credentials, and this worker has none: it needs a join token "
                    "(hodei worker --join FILE; docs/workers.md)"
                ) from None

    async def _admitted(self) -> bool:
        """Whether NATS accepts the credentials for work; also when it does not answer, since the bus waits for it."""
        try:
            held = Credentials.read(credentials_in(self._state))
            await knock(self._url, held, name="agent-keys", ca=self._ca)
        except NotAdmitted:
            return False
        except BusUnavailable as error:
            log.info("keyring.waiting", error=str(error))
        return True

    async def _get(self) -> None:
        renewal = renewal_in(self._state)
        if renewal.exists() and not self._outgrown():  # NATS knows if they have expired: this clock may be wrong
            try:
                await self._renew(Credentials.read(renewal))
                return
            except Refused as error:
                if self._join is None:
                    raise
                log.info("keyring.not_renewed", error=str(error))
        if self._join is None:
            raise Refused(EXPIRED)
        await self._enrol(self._join)

    async def _renew(self, renewal: Credentials) -> None:
        worker_id = self._identity.worker_id
        ask = Renew(user_key=renewal.public)
        errand = Errand(
            renewal,
            self._catalogue.inbox("agents", worker_id),
            self._catalogue.agent(worker_id, "renew"),
            ask.model_dump_json().encode(),
        )
        try:
            grant = _grant(await self._run(errand))
        except NotAdmitted:
            good = self._good(renewal_in(self._state))
            raise Refused(REVOKED if good else EXPIRED) from None
        self._keep_grant(grant, renewal.seed)

    async def _enrol(self, join: JoinTokenText) -> None:
        pair, identity = self._pair(), self._identity
        proof = pair.sign(proof_text(join.id, identity.worker_id, pair.public))
        claim = Enrol(
            worker_id=identity.worker_id,
            user_key=pair.public,
            proof=base64.b64encode(proof).decode(),
            name=identity.name,
            type=identity.type,
            labels=identity.labels,
        )
        errand = Errand(
            Credentials(join.jwt, join.seed),
            self._catalogue.inbox("enrol", join.id),
            self._catalogue.enrol(join.id),
            claim.model_dump_json().encode(),
        )
        try:
            grant = _grant(await self._run(errand))
        except NotAdmitted:
            raise Refused("NATS does not accept the join token: it has expired or was revoked") from None
        self._keep_grant(grant, pair.seed)
        log.info("keyring.enrolled", join_token_id=join.id, worker_id=identity.worker_id)

    async def _run(self, errand: Errand) -> bytes:
        return await run_errand(self._url, errand, name="agent-keys", ca=self._ca)

    def _pair(self) -> KeyPair:
        """The worker's own pair, made once and written before it is used: the answer to the first request can be
        lost."""
        file = private_folder(self._state / FOLDER) / SEED
        keep_private(file, KeyPair.new(Kind.USER).seed)
        return KeyPair.of(read_text(file).strip(), Kind.USER)

    def _keep_grant(self, grant: Grant, seed: str) -> None:
        if grant.jwt is None or grant.renewal_jwt is None:
            raise BusUnavailable("the answer has no credentials")
        keep_keys(self._state, Credentials(grant.jwt, seed).text(), Credentials(grant.renewal_jwt, seed).text())


def _rest_of(credentials: Credentials) -> float:
    """After how many seconds credentials are to be renewed."""
    if credentials.expiry is None:
        return float("inf")
    return (credentials.expiry - credentials.issued) * (HALF + random.uniform(0.0, 0.1))


def _grant(answer: bytes) -> Grant:
    try:
        grant = Grant.model_validate_json(answer)
    except ValidationError as error:
        raise BusUnavailable("the answer to a request for credentials cannot be read") from error
    if grant.refusal is None:
        return grant
    if grant.refusal.passing:
        raise BusUnavailable(grant.detail)
    if grant.refusal is Refusal.REVOKED_WORKER:
        raise Revoked(f"this worker gets no credentials: {grant.detail}; {ANEW}")
    raise Refused(f"this worker gets no credentials: {grant.detail}")


def _read_once(file: Path) -> JoinTokenText:
    """The join token in a file, or in a descriptor, which is closed: no command shall inherit it."""
    try:
        join = JoinTokenText.parse(read_text(file))
    except ValueError as error:
        raise ConfigError(f"HODEI_JOIN: {error}") from None
    if file.parent == Path("/dev/fd"):
        with suppress(OSError, ValueError):
            os.close(int(file.name))
    return join
