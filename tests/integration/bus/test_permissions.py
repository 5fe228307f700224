"""What NATS enforces: each user may publish and hear its own subjects, and none of any other user.

The subjects are those of the catalogue, so that none is forgotten; the server is a real one in operator mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from nats.aio.client import Client
from nats.errors import Error

from schemas import permissions
from schemas.events import LogChunk
from schemas.permissions import AGENT_VERBS, PUBLISHED_BY_AGENTS, PUBLISHERS, SERVICES, Permissions
from schemas.questions import QUESTIONS
from schemas.subjects import CONSUMERS, DEAD_LETTERS, EVENTS, LOGS, REPORTS, STREAMS, Catalogue
from shared.keys import NATS, Credentials, make, service_credentials
from tests.fixtures.guarded import JOIN, OTHER, RENEWING, WORKER, GuardedNats

CATALOGUE: Final = Catalogue("acme")
EXECUTION: Final = "0197c0de-0000-7000-8000-00000000000e"
USERS: Final = (*SERVICES, WORKER, OTHER, RENEWING, JOIN, "feed")
END: Final = "acme.the.end"
"""Nobody may use it, so its refusal shows that everything before it has been decided."""


def publishers() -> dict[str, set[str]]:
    """Every subject that somebody publishes to, with those who may."""
    said: dict[str, set[str]] = {}
    for kind, who in PUBLISHERS.items():
        if kind == LogChunk.event_type:
            continue
        taking = {spec.owner for spec in CONSUMERS if kind in spec.event_types}
        said[CATALOGUE.event(kind)] = ({*who} - {"agent"}) | taking
    for worker in (WORKER, OTHER):
        said |= {CATALOGUE.report(kind, worker): {worker} for kind in REPORTS}
        said[CATALOGUE.logs(EXECUTION, worker)] = {worker}
        for verb, ends in AGENT_VERBS.items():
            said[CATALOGUE.agent(worker, verb)] = {worker} if verb in PUBLISHED_BY_AGENTS else {*ends}
        said[CATALOGUE.inbox("agents", worker) + ".x"] = {"worker_manager"}
    said[CATALOGUE.agent(RENEWING, "renew")] = {RENEWING}
    said[CATALOGUE.agent(RENEWING, "heartbeat")] = said[CATALOGUE.logs(EXECUTION, RENEWING)] = set()
    said[CATALOGUE.enrol(JOIN)] = {JOIN}
    said[CATALOGUE.enrol(OTHER)] = set()
    said[CATALOGUE.inbox("enrol", JOIN) + ".x"] = {"worker_manager"}
    for question in QUESTIONS:
        said[CATALOGUE.question(question.owner, question.name)] = {*SERVICES}
    for owner in SERVICES:
        said[CATALOGUE.probe(owner)] = {owner}
        said[CATALOGUE.inbox(owner) + ".x"] = {*SERVICES}
    for spec in CONSUMERS:
        said[CATALOGUE.dead(spec.durable)] = {spec.owner}
    said[CATALOGUE.feed("jobs.failed", EXECUTION)] = {"orchestrator"}
    return said | jetstream()


def jetstream() -> dict[str, set[str]]:
    """The requests to JetStream, with those who may make them; more of them than anybody may."""
    said: dict[str, set[str]] = {}
    for stream in map(CATALOGUE.stream, STREAMS):
        for operation in ("CREATE", "UPDATE", "INFO"):
            said[f"$JS.API.STREAM.{operation}.{stream}"] = {*SERVICES}
        said[f"$JS.API.STREAM.DELETE.{stream}"] = set()
        said[f"$JS.API.STREAM.PURGE.{stream}"] = set()
        said[f"$JS.API.STREAM.MSG.GET.{stream}"] = set()
        said[f"$JS.API.STREAM.MSG.DELETE.{stream}"] = set()
        said[f"$JS.API.DIRECT.GET.{stream}"] = set()
        said[f"$JS.API.CONSUMER.CREATE.{stream}.mine"] = set()
    events, logs, dead = map(CATALOGUE.stream, (EVENTS, LOGS, DEAD_LETTERS))
    for operation in ("GET", "DELETE"):
        said[f"$JS.API.STREAM.MSG.{operation}.{dead}"] = {*SERVICES}
    for spec in CONSUMERS:
        for operation in ("CREATE", "INFO", "MSG.NEXT"):
            said[f"$JS.API.CONSUMER.{operation}.{events}.{spec.durable}"] = {spec.owner}
        said[f"$JS.API.CONSUMER.DELETE.{events}.{spec.durable}"] = set()
        said[f"$JS.ACK.{events}.{spec.durable}.1.1.1.1.0"] = {spec.owner}
    said[f"$JS.API.DIRECT.GET.{events}"] = {"orchestrator"}
    readers = {"orchestrator", "worker_manager"}
    for operation in ("CREATE", "DELETE", "MSG.NEXT"):
        said[f"$JS.API.CONSUMER.{operation}.{logs}.log-x"] = readers
    said[f"$JS.API.CONSUMER.CREATE.{logs}.mine"] = readers
    said[f"$JS.API.DIRECT.GET.{logs}"] = said[f"$JS.API.STREAM.PURGE.{logs}"] = readers
    return said | {"$JS.API.INFO": set(), "$JS.API.STREAM.NAMES": set(), "$SYS.REQ.CLAIMS.UPDATE": set()}


def listeners() -> dict[str, set[str]]:
    """Every subject that somebody hears, with those who may."""
    heard: dict[str, set[str]] = {}
    for kind in PUBLISHERS:
        if kind == LogChunk.event_type:
            continue
        for subject in CATALOGUE.events(kind):
            heard[subject] = {*permissions.LISTENERS[kind.split(".")[0]]}
    for subject in CATALOGUE.all_logs(EXECUTION):
        heard[subject] = set()
    for worker in (WORKER, OTHER):
        for verb, ends in AGENT_VERBS.items():
            heard[CATALOGUE.agent(worker, verb)] = {*ends} if verb in PUBLISHED_BY_AGENTS else {worker}
    for user in (WORKER, OTHER, RENEWING):
        heard[CATALOGUE.inbox("agents", user) + ".x"] = {user}
    heard[CATALOGUE.inbox("enrol", JOIN) + ".x"] = {JOIN}
    heard[CATALOGUE.enrol("*")] = heard[CATALOGUE.enrol(JOIN)] = {"worker_manager"}
    for question in QUESTIONS:
        heard[CATALOGUE.question(question.owner, question.name)] = {question.owner}
    for owner in SERVICES:
        heard[CATALOGUE.inbox(owner) + ".>"] = {owner}
    for subject in ("_INBOX.>", "_INBOX.acme.>", ">", "acme.>", "$SYS.>", "$JS.>", "acme.agents.>", "acme.ask.>"):
        heard[subject] = set()
    heard[CATALOGUE.feed_all] = heard[CATALOGUE.feed("jobs.failed", "*")] = {"feed"}
    return heard


class User:
    """A connection of one user, and what NATS refused it."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.ended = asyncio.Event()

    async def connect(self, url: str, credentials: Path | None) -> Client:
        client = Client()
        try:
            await client.connect(
                url,
                user_credentials=None if credentials is None else str(credentials),
                error_cb=self._note,
                allow_reconnect=False,
            )
        except BaseException:
            await client.close()
            raise
        return client

    async def _note(self, error: Exception) -> None:
        _, _, subject = str(error).removesuffix('"').partition('"')  # empty for another error, which `connect` raises
        self.refused.add(subject)
        if subject == END:
            self.ended.set()


@pytest.fixture
async def connections(guarded_nats: GuardedNats) -> AsyncIterator[dict[str, tuple[User, Client]]]:
    async with AsyncExitStack() as stack:
        made: dict[str, tuple[User, Client]] = {}
        for name in USERS:
            user = User()
            client = await user.connect(guarded_nats.url, guarded_nats.credentials(name))
            stack.push_async_callback(client.close)
            made[name] = (user, client)
        yield made


async def test_each_user_publishes_its_own_subjects_alone(connections: dict[str, tuple[User, Client]]) -> None:
    said = publishers()
    for name, (user, client) in connections.items():
        for subject in said:
            await client.publish(subject, b"[]")
        await client.publish(END, b"")
        async with asyncio.timeout(10):
            await user.ended.wait()

        allowed = {subject for subject in said if subject.lower() not in user.refused}

        assert allowed == {subject for subject, who in said.items() if name in who}, name


async def test_each_user_hears_its_own_subjects_alone(connections: dict[str, tuple[User, Client]]) -> None:
    heard = listeners()
    for name, (user, client) in connections.items():
        for subject in heard:
            await client.subscribe(subject)
        await client.publish(END, b"")
        async with asyncio.timeout(10):
            await user.ended.wait()

        allowed = {subject for subject in heard if subject.lower() not in user.refused}

        assert allowed == {subject for subject, who in heard.items() if name in who}, name


async def test_a_stranger_is_not_admitted(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    with pytest.raises(Error, match="Authorization Violation"):
        await User().connect(guarded_nats.url, None)
    make(tmp_path, namespace="acme")
    with pytest.raises(Error, match="Authorization Violation"):
        await User().connect(guarded_nats.url, tmp_path / NATS / service_credentials("orchestrator"))


async def test_the_permissions_of_a_stranger_do_not_help(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    """Credentials that a worker signs for itself, with the key that it has."""
    own = Credentials.read(guarded_nats.credentials(WORKER))
    header, _, signature = own.jwt.split(".")
    everything = guarded_nats.issuer.user(own.public, own.name, Permissions((">",), (">",)))
    forged = Credentials(f"{header}.{everything.split('.')[1]}.{signature}", own.seed)
    (tmp_path / "forged.creds").write_text(forged.text())

    with pytest.raises(Error, match="Authorization Violation"):
        await User().connect(guarded_nats.url, tmp_path / "forged.creds")
