"""Workers as local processes: `python -m worker_manager.agent`, each in a session of its own (Linux).

An agent outlives the service that started it, so that a restart of the worker manager interrupts no job; the restarted
service finds it by its handle. Under `hodei up` it inherits the platform's lifeline and ends with the platform. Its
environment is small: it has neither the database's address nor any other secret of the service.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

import worker_manager
from shared.errors import ConfigError
from shared.process import lifeline
from shared.process import tree as process_tree
from shared.worker_keys import keep_keys
from worker_manager.providers import pidfd
from worker_manager.providers.base import Exit, Handle, StartFailed, WorkerSpec

AGENT: Final = (sys.executable, "-P", "-m", "worker_manager.agent")
"""-P keeps Python from importing files of the current folder by accident."""
LOG_TAIL: Final = 4096

INHERITED: Final = frozenset(
    {
        "HOME",
        "HODEI_GRACE_SECONDS",
        "HODEI_HEARTBEAT_SECONDS",
        "HODEI_LINGER_MS",
        "HODEI_LOG_LEVEL",
        "HODEI_LOG_LIMIT",
        "HODEI_NATS_CA",
        "HODEI_OTLP_ENDPOINT",
        "HODEI_PREFETCH_MAX",
        "HODEI_SPOOL_LIMIT",
        "HODEI_START_DEADLINE",
        "HODEI_STOP_DEADLINE",
        "HODEI_TRACE_SAMPLE",
        lifeline.VARIABLE,
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_RESOURCE_ATTRIBUTES",
        "PATH",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
    }
)
"""The variables that an agent inherits from the service, besides those of the locale."""


class ProcessProvider:
    """Runs agents as processes on this machine. `folder` holds each worker's log and state; `environment` is the
    service's own."""

    name: Final = "process"

    def __init__(
        self,
        *,
        nats_url: str,
        namespace: str,
        folder: Path,
        environment: Mapping[str, str],
        command: Sequence[str] = AGENT,
    ) -> None:
        self._folder = folder
        self._command = list(command)
        self._base = {name: value for name, value in environment.items() if name in INHERITED or name[:3] == "LC_"}
        self._base |= {
            "NATS_URL": nats_url,
            "HODEI_NAMESPACE": namespace,
            "HODEI_LOG_FORMAT": "json",
            # The agent has the same version as the service, whatever the service's current folder.
            "PYTHONPATH": str(Path(worker_manager.__path__[0]).parent),
        }

    async def start(self, spec: WorkerSpec) -> Handle:
        """Start the agent's process. Its handle is `{pid, started, boot}`."""
        home = self._home(spec.worker_id)
        try:
            (home / "state").mkdir(parents=True, exist_ok=True, mode=0o700)
            if spec.keys is not None:
                keep_keys(home / "state", spec.keys.credentials, spec.keys.renewal)
            log = os.open(home / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StartFailed(f"cannot write to {home}: {error.strerror}") from error
        except ConfigError as error:
            raise StartFailed(str(error)) from error
        try:
            pid = self._spawn(self._environment(spec, home / "state"), log)
        except OSError as error:
            raise StartFailed(f"cannot start {self._command[0]}: {error.strerror}") from error
        finally:
            os.close(log)
        # It is a child that is not reaped yet, so its pid cannot have been reused.
        return {"pid": pid, "started": pidfd.start_time(pid) or 0, "boot": pidfd.boot_id()}

    async def adopt(self, handle: Handle) -> bool:
        """Whether the process runs; a zombie does not count."""
        if handle["boot"] != pidfd.boot_id():
            return False
        with pidfd.opened(int(handle["pid"]), int(handle["started"])) as descriptor:
            return descriptor is not None and not pidfd.is_over(descriptor)

    async def watch(self, handle: Handle) -> Exit:
        """Wait for the agent's exit. The exit code is known for a child only, not for an agent of an earlier run."""
        if handle["boot"] != pidfd.boot_id():
            return Exit(None)
        with pidfd.opened(int(handle["pid"]), int(handle["started"])) as descriptor:
            if descriptor is None:
                return Exit(None)
            await pidfd.ended(descriptor)
            return Exit(pidfd.exit_code(descriptor))

    async def stop(self, handle: Handle, *, force: bool) -> None:
        """Send SIGTERM, or SIGKILL with `force`."""
        if handle["boot"] != pidfd.boot_id():
            return
        with pidfd.opened(int(handle["pid"]), int(handle["started"])) as descriptor:
            if descriptor is not None and not pidfd.is_over(descriptor):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL if force else signal.SIGTERM)

    async def reap(self, worker_id: str) -> int:
        """Kill the processes that have the worker's id in their environment, in whichever session they are."""
        return await asyncio.to_thread(process_tree.reap, worker_id=worker_id)

    def pid(self, handle: Handle) -> int | None:
        return int(handle["pid"])

    async def last_words(self, worker_id: str) -> str:
        return await asyncio.to_thread(_last_line, self._home(worker_id) / "agent.log")

    async def forget(self, worker_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._home(worker_id) / "state", ignore_errors=True)

    async def erase(self, worker_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._home(worker_id), ignore_errors=True)

    def _home(self, worker_id: str) -> Path:
        return self._folder / worker_id

    def _environment(self, spec: WorkerSpec, state: Path) -> dict[str, str]:
        return self._base | {
            "HODEI_WORKER_ID": spec.worker_id,
            "HODEI_WORKER_NAME": spec.name,
            "HODEI_WORKER_TYPE": spec.type,
            "HODEI_WORKER_LABELS": orjson.dumps(dict(spec.labels)).decode(),
            "HODEI_WORKER_SLOTS": str(spec.slots),
            "HODEI_WORKER_CAPACITY": "" if spec.capacity is None else str(spec.capacity),
            "HODEI_STATE_DIR": str(state),
        }

    def _spawn(self, environment: Mapping[str, str], log: int) -> int:
        # posix_spawn rather than subprocess: a process that may outlive the service needs no Popen object. Descriptors
        # of the service are closed on exec; those that it inherited in order to pass them on (the lifeline) stay open.
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        return os.posix_spawn(
            self._command[0],
            self._command,
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    if not lines:
        return ""
    try:
        entry = orjson.loads(lines[-1])
    except orjson.JSONDecodeError:
        return lines[-1]
    # A structured line: its event and, if there is one, its error are what a person wants to read.
    words = [str(entry[key]) for key in ("event", "error") if isinstance(entry, dict) and entry.get(key)]
    return ": ".join(words) or lines[-1]
