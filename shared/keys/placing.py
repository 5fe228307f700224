"""Places each party's keys into a folder of its own, which may be a volume: no container sees those of another one.

Here: which party gets which keys, under which names, and who owns them. Not here: making them (`shared.keys.folder`).
The names are the same for all parties, so that their settings are: `/keys/nats.creds`, `/keys/server.crt`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import ConfigError
from shared.keys.certificates import AUTHORITY
from shared.keys.files import read_text, write_private
from shared.keys.folder import ISSUER, JOIN, NATS, OPERATOR_CONF, TLS, TOKENS
from shared.keys.issuer import ACCOUNT_SEED, OPERATOR_SEED, SERVICE_KEYS, SYSTEM_CREDENTIALS, SYSTEM_SEED
from shared.keys.joining import JOIN_TOKEN, JOIN_TOKENS
from shared.keys.tokens import HASHES

CREDENTIALS: Final = "nats.creds"
CA: Final = "ca.crt"
CERTIFICATE: Final = "server.crt"
KEY: Final = "server.key"
PAIR: Final = "server.pem"
"""The certificate and the key in one file, as HAProxy reads them."""
PUBLIC: Final = frozenset({CA, CERTIFICATE})
"""The files that everyone may read."""


@dataclass(frozen=True, slots=True)
class Party:
    """The user number of a party's process, and what makes each of its files, by name. A file whose sources are not all
    there, as certificates without `--tls`, is left out."""

    user: int
    files: Mapping[str, tuple[str, ...]]


def _server(name: str) -> dict[str, tuple[str, ...]]:
    return {CERTIFICATE: (f"{TLS}/{name}.crt",), KEY: (f"{TLS}/{name}.key",)}


def _service(name: str) -> dict[str, tuple[str, ...]]:
    return {CREDENTIALS: (f"{NATS}/{name}.creds",), **_server(name), **_CA}


_CA: Final = {CA: (f"{TLS}/{AUTHORITY}.crt",)}
OURS: Final = 10001
"""The user of our images."""
ROOT: Final = 0
NOBODY: Final = 65534

PARTIES: Final[Mapping[str, Party]] = {
    "nats": Party(ROOT, {OPERATOR_CONF: (f"{NATS}/{OPERATOR_CONF}",), **_server("nats"), **_CA}),
    "postgres": Party(999, _server("postgres")),
    "orchestrator": Party(OURS, {**_service("orchestrator"), HASHES: (f"{TOKENS}/{HASHES}",)}),
    "scheduler": Party(OURS, _service("scheduler")),
    "worker-manager": Party(
        OURS,
        {
            **_service("worker-manager"),
            JOIN_TOKENS: (f"{JOIN}/{JOIN_TOKENS}",),
            **{
                f"{ISSUER}/{name}": (f"{ISSUER}/{name}",)
                for name in (OPERATOR_SEED, ACCOUNT_SEED, SYSTEM_SEED, SYSTEM_CREDENTIALS, SERVICE_KEYS)
            },
        },
    ),
    "worker": Party(OURS, {JOIN_TOKEN: (f"{JOIN}/{JOIN_TOKEN}",), **_CA}),
    "nats-exporter": Party(OURS, {**_server("nats-exporter"), **_CA}),
    "proxy": Party(99, {PAIR: (f"{TLS}/proxy.crt", f"{TLS}/proxy.key"), **_CA}),
    "prometheus": Party(NOBODY, {"token": (f"{TOKENS}/prometheus",), **_CA}),
    "postgres-exporter": Party(NOBODY, _CA),
}
"""What each container of the compose files gets."""


def place(keys: Path, into: Path, *, own: Callable[[Path, int, int], None] = os.chown) -> list[Path]:
    """Write the files of every party that has a folder of its name in `into`. Returns those that were written: others
    are there already. Raises ConfigError."""
    written: list[Path] = []
    for name, party in PARTIES.items():
        if (into / name).is_dir():
            written += _place(keys, into / name, party, own)
    return written


def _place(keys: Path, folder: Path, party: Party, own: Callable[[Path, int, int], None]) -> list[Path]:
    written = []
    for name, sources in party.files.items():
        if not all((keys / source).exists() for source in sources):
            continue
        text = "".join(read_text(keys / source) for source in sources)
        path = folder / name
        try:
            if path.parent != folder and not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                own(path.parent, party.user, party.user)
            if not path.exists() or read_text(path) != text:
                # Readers see the old file or the new one; until it has its owner, only this process may read it.
                write_private(path, text, own=lambda made: own(made, party.user, party.user))
                written.append(path)
            if name in PUBLIC:
                path.chmod(0o644)
        except OSError as error:
            raise ConfigError(f"cannot place {path}: {error.strerror}") from None
    return written
