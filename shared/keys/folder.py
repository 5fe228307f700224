"""Makes the keys of a platform into one folder, before NATS and the services start.

    nats/       operator.conf (included by the servers' configuration), and the credentials of the services and of a
                reader of the feed
    issuer/     the seeds of operator and account, the credentials that push revocations, and the public keys of the
                services: for the worker manager
    join/       the first join token, for workers, and what the worker manager has to know of it (`shared.keys.joining`)
    tokens/     the first tokens, and their hashes for the orchestrator (`shared.keys.tokens`)
    tls/        if it is asked for: an authority and the servers' certificates (`shared.keys.certificates`)

Here: what the folder has, and making what is missing. A key that exists is never replaced. Credentials are signed again
for their key when this version gives their user other permissions, or when the namespace has changed. Several processes
may do this at the same time.
"""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas import permissions
from schemas.permissions import SERVICES, Permissions
from schemas.subjects import Catalogue
from shared.clock import now
from shared.errors import ConfigError
from shared.keys import claims
from shared.keys.adopting import adopt_streams
from shared.keys.bounds import BOUNDED
from shared.keys.credentials import Credentials
from shared.keys.files import keep_private, private_folder, read_text, write_private
from shared.keys.issuer import ACCOUNT_SEED, OPERATOR_SEED, SERVICE_KEYS, SYSTEM_CREDENTIALS, SYSTEM_SEED, read_seed
from shared.keys.joining import ANY, Joiners, make_join_token
from shared.keys.pairs import KeyPair, Kind
from shared.keys.tokens import make_tokens

NATS: Final = "nats"
ISSUER: Final = "issuer"
TLS: Final = "tls"
TOKENS: Final = "tokens"
JOIN: Final = "join"
OPERATOR_CONF: Final = "operator.conf"
FEED_CREDENTIALS: Final = "feed.creds"
SYSTEM_ACCOUNT: Final = "SYS"
OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of the accounts in the configuration. A server keeps the newest that it has seen, and reads these at each
start: one that was pushed to it, with its revocations, is newer, whatever the clocks."""
CONTROL_LINE: Final = 64 << 10
"""Bytes. A client sends its JWT on one line of the protocol, for which the default of NATS is 4 KiB: too little for the
permissions of a service."""


def service_credentials(service: str) -> str:
    """The name of a service's file: `worker-manager.creds`."""
    return f"{service.replace('_', '-')}.creds"


def make(
    folder: Path,
    *,
    namespace: str = "hodei",
    tls: bool = False,
    names: Sequence[str] = (),
    store: Path | None = None,
    joiners: Joiners = ANY,
    clock: Callable[[], datetime] = now,
) -> list[Path]:
    """Make what the folder lacks, with `tls` certificates, too. Returns the files that were written, in order.

    `names` are names and addresses under which clients elsewhere call the servers, for the certificates. `store` is the
    `store_dir` of a NATS server that does not run: its streams of before are moved into the platform's account.
    `joiners` are the workers that may enrol with the first join token.

    Raises ConfigError when it cannot be written, when a file in it is not the key that it should be, and for a
    namespace that is not one.
    """
    try:
        catalogue = Catalogue(namespace)
    except ValueError as error:
        raise ConfigError(f"namespace {namespace!r}: {error}") from None
    private_folder(folder)
    made = [*_make(folder, catalogue, clock(), joiners), *make_tokens(folder / TOKENS)]
    if store is not None:
        made += adopt_streams(store, read_seed(folder / ISSUER / ACCOUNT_SEED, Kind.ACCOUNT).public)
    if tls:
        from shared.keys.certificates import make_certificates  # large, and of no use to those who make none

        servers = make_certificates(folder / TLS, names=names, now=clock())
        made += [folder / TLS / f"{server}.crt" for server in servers]
    return made


def _make(folder: Path, catalogue: Catalogue, moment: datetime, joiners: Joiners) -> Iterator[Path]:
    nats, issuer = private_folder(folder / NATS), private_folder(folder / ISSUER)
    operator = yield from _pair(issuer / OPERATOR_SEED, Kind.OPERATOR)
    account = yield from _pair(issuer / ACCOUNT_SEED, Kind.ACCOUNT)
    system = yield from _pair(issuer / SYSTEM_SEED, Kind.ACCOUNT)
    if keep_private(nats / OPERATOR_CONF, _configuration(operator, account, system, catalogue.namespace, moment)):
        yield nats / OPERATOR_CONF
    for service in SERVICES:
        allowed = permissions.service(catalogue, service)
        yield from _credentials(
            nats / service_credentials(service),
            f"{catalogue.namespace}-{service}",
            account,
            allowed,
            moment,
            tags=(BOUNDED,),
        )
    allowed = permissions.feed(catalogue)
    yield from _credentials(nats / FEED_CREDENTIALS, f"{catalogue.namespace}-feed", account, allowed, moment)
    yield from _service_keys(issuer / SERVICE_KEYS, nats)
    allowed = permissions.system(catalogue)
    yield from _credentials(issuer / SYSTEM_CREDENTIALS, f"{catalogue.namespace}-system", system, allowed, moment)
    join = folder / JOIN
    yield from make_join_token(join, signer=account, catalogue=catalogue, moment=moment, joiners=joiners)


def _pair(path: Path, kind: Kind) -> Generator[Path, None, KeyPair]:
    if keep_private(path, KeyPair.new(kind).seed + "\n"):
        yield path
    return read_seed(path, kind)


def _credentials(
    path: Path, name: str, signer: KeyPair, allowed: Permissions, moment: datetime, tags: tuple[str, ...] = ()
) -> Iterator[Path]:
    pair = KeyPair.new(Kind.USER)
    made = Credentials(claims.user(signer, pair.public, name, allowed, now=moment, tags=tags), pair.seed)
    if keep_private(path, made.text()):
        yield path
        return
    there = Credentials.read(path)
    said = claims.read(there.jwt)
    held = (said["name"], said["iss"], claims.permissions_in(there.jwt), there.tags)
    if held != (name, signer.public, allowed, tags):
        again = claims.user(signer, there.public, name, allowed, now=moment, tags=tags)
        write_private(path, Credentials(again, there.seed).text())
        yield path


def _service_keys(path: Path, nats: Path) -> Iterator[Path]:
    """Which keys the platform's own users have, for the issuer."""
    files = {service: nats / service_credentials(service) for service in SERVICES} | {"feed": nats / FEED_CREDENTIALS}
    text = json.dumps({name: Credentials.read(file).public for name, file in files.items()}, indent=2) + "\n"
    if keep_private(path, text):
        yield path
    elif read_text(path) != text:
        write_private(path, text)
        yield path


def _configuration(operator: KeyPair, account: KeyPair, system: KeyPair, name: str, moment: datetime) -> str:
    """The part of the servers' configuration that turns operator mode on. Each server adds its own `resolver`, of type
    `full` and with a folder for the accounts that are pushed to it."""
    signed = claims.operator(operator, name, system_account=system.public, now=moment)
    platform = claims.account(operator, account.public, name, now=OLDEST)
    administration = claims.account(operator, system.public, SYSTEM_ACCOUNT, jetstream=False, now=OLDEST)
    return f"""\
max_control_line: {CONTROL_LINE}
operator: {signed}
system_account: {system.public}
resolver_preload: {{
  {account.public}: {platform}
  {system.public}: {administration}
}}
"""
