"""The keys of `hodei up`, in its data folder: made before its NATS starts, and handed to the services.

`shared.keys` makes them, as a process of its own. The services of an external NATS (`NATS_URL`) get no credentials from
here.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError
from hodei.interpreter import python, service_path
from hodei.up_settings import UpSettings

DEADLINE: Final = 60.0
"""Seconds to make the keys, even on a machine that is short of CPU."""


class UpKeys:
    """The folder of the keys, and what is in it."""

    def __init__(self, settings: UpSettings) -> None:
        self._folder = settings.data_dir / "keys"
        self._own_nats = settings.nats_url is None
        self._store = settings.data_dir / "nats"
        self.token: Final = settings.data_dir / "token"
        """The file of the first administrator's token."""
        self._namespace = settings.namespace

    @property
    def operator(self) -> Path:
        """The part of the configuration with which NATS asks for credentials."""
        return self._folder / "nats" / "operator.conf"

    @property
    def feed(self) -> Path:
        """The credentials of a subscriber to the feed."""
        return self._folder / "nats" / "feed.creds"

    def of_service(self, name: str) -> Mapping[str, str]:
        """The variables with which a service finds its keys. Those for NATS are for the one of `hodei up` only."""
        found = dict(self.for_nats(name))
        if self._own_nats and name == "worker_manager":
            found["HODEI_ISSUER_DIR"] = str(self._folder / "issuer")
        if name == "orchestrator":
            found["HODEI_BOOTSTRAP_TOKENS"] = str(self._folder / "tokens" / "tokens.json")
        return found

    def for_nats(self, name: str) -> Mapping[str, str]:
        """The variable with a service's credentials for NATS."""
        if not self._own_nats:
            return {}
        return {"HODEI_NATS_CREDENTIALS": str(self._folder / "nats" / f"{name.replace('_', '-')}.creds")}

    def headers(self) -> Mapping[str, str]:
        """The headers of a request to a service that asks for a token. Raises EmbeddedError."""
        try:
            return {"Authorization": f"Bearer {self.token.read_text(encoding='ascii').strip()}"}
        except (OSError, ValueError) as error:
            raise EmbeddedError(f"cannot read the token in {self.token}: {error}") from None

    async def make(self) -> None:
        """Make the keys that are missing, and move the streams of a NATS without accounts. Raises EmbeddedError."""
        await self._run()
        try:
            token = (self._folder / "tokens" / "admin").read_bytes()
            if self.token.exists() and self.token.read_bytes() == token:
                return
            beside = self.token.with_name(f".{self.token.name}.new")
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(token)
            beside.replace(self.token)
        except OSError as error:
            raise EmbeddedError(f"cannot write {self.token}: {error.strerror}") from None

    async def _run(self) -> None:
        making = await asyncio.create_subprocess_exec(
            *(*python(), "-m", "shared.keys", "make", str(self._folder)),
            *("--namespace", self._namespace, "--streams", str(self._store)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **service_path()},
        )
        try:
            async with asyncio.timeout(DEADLINE):
                _, errors = await making.communicate()
        except BaseException as error:
            if making.returncode is None:
                making.kill()
                await making.wait()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(f"the keys were not made in {DEADLINE:g} s") from None
            raise
        if making.returncode != 0:
            lines = errors.decode(errors="replace").splitlines()
            raise EmbeddedError((lines or ["the keys cannot be made"])[-1])
