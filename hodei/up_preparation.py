"""What `hodei up` checks and claims before anything starts: the settings, the data folder, the services' ports."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError, WrongSetting
from hodei.embedded.ports import RememberedPorts, free_port, is_taken
from hodei.interpreter import python, service_path
from hodei.up_keys import UpKeys
from hodei.up_settings import SERVICES, UpSettings, variable_of

STRAGGLERS_DEADLINE: Final = 20.0  # for the services of an `up` that was killed to be gone


async def check_settings(environment: Mapping[str, str], keys: UpKeys) -> None:
    """Let the services and the worker check their own settings, with the keys that they will have. Raises WrongSetting
    with the line that names the wrong one."""
    if not any(name.startswith("HODEI_") or name in ("NATS_URL", "DATABASE_URL") for name in environment):
        return  # nothing to check, which saves half a second
    check = await asyncio.create_subprocess_exec(
        *(*python(), "-m", "shared.service.settings_check", *(name for name, _ in SERVICES), "worker_manager.agent"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**environment, **keys.for_nats(SERVICES[0][0]), **service_path()},
    )
    _, errors = await check.communicate()
    if check.returncode != 0:
        lines = errors.decode(errors="replace").splitlines()
        raise WrongSetting((lines or ["the settings could not be checked"])[-1])


async def claim(data_dir: Path, stack: AsyncExitStack) -> int:
    """Lock the data folder. Returns a descriptor that the services inherit, and hold while they live.

    There are two locks. One is held by `up` itself and refuses a second `up` at once. The other is held by its
    services, too: after a kill, the next `up` waits for the last of them instead of finding their ports taken.
    """
    locks = []
    for name in ("up.lock", "services.lock"):
        try:
            data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # once, before anything runs
            locks.append(os.open(data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise EmbeddedError(f"cannot use {data_dir} for the data: {error.strerror}") from None
        stack.callback(os.close, locks[-1])
    own, shared = locks
    if not _lock(own):
        raise EmbeddedError(f"another `hodei up` uses {data_dir}: stop it, or choose another --data-dir")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STRAGGLERS_DEADLINE
    while not _lock(shared):
        if loop.time() > deadline:
            raise EmbeddedError(f"services of an earlier `hodei up` still use {data_dir}")
        await asyncio.sleep(0.05)
    return shared


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def service_ports(settings: UpSettings, remembered: RememberedPorts) -> dict[str, int]:
    """The services' ports, each known to be free. 0 is replaced by the port of the last start if that is free, else by
    another."""
    ports: dict[str, int] = {}
    for name, wanted in settings.ports.items():
        try:
            taken = wanted and is_taken(wanted, settings.host)
            port = wanted or _free_again(remembered.get(name), settings.host, besides=ports.values())
        except OSError as error:
            raise EmbeddedError(f"cannot listen on {settings.host}:{wanted}: {error.strerror}") from None
        if taken or port in ports.values():
            raise EmbeddedError(f"port {port} is taken: set {variable_of(name)} to another one")
        ports[name] = port
    return ports


def _free_again(before: int | None, host: str, *, besides: Collection[int]) -> int:
    """The port that was used before, if it is free, else another. Raises OSError."""
    return free_port(host) if before is None or before in besides or is_taken(before, host) else before
