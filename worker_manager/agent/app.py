"""The agent's composition root: creates its parts and lists its services in the order in which they start."""

import os
import signal
from collections.abc import Sequence
from functools import partial

import structlog

from schemas.specs import Capacity
from schemas.subjects import Catalogue
from shared.bus import Bus
from shared.errors import ConfigError, Unavailable
from shared.process import lifeline
from shared.process.tree import INCARNATION_MARK, kill_marked, mark, reap
from shared.service import Service
from shared.telemetry import Tracing
from shared.version import platform_version
from worker_manager.agent import machine
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.environment import base_environment
from worker_manager.agent.execution import Means
from worker_manager.agent.hand import Hand
from worker_manager.agent.health import Health
from worker_manager.agent.heartbeat import Heart
from worker_manager.agent.identity import Identity
from worker_manager.agent.keyring import Keyring
from worker_manager.agent.logs import LogStream
from worker_manager.agent.output_files import OutputFiles
from worker_manager.agent.prefetch import Prefetch
from worker_manager.agent.process import Launcher, try_process
from worker_manager.agent.reporter import Reporter
from worker_manager.agent.runner import Runner
from worker_manager.agent.scratch import Scratch
from worker_manager.agent.sentinel import Sentinel
from worker_manager.agent.settings import AgentSettings
from worker_manager.agent.spool import Spool
from worker_manager.agent.state import StateFolder
from worker_manager.agent.traces import Traces
from worker_manager.agent.worker import Worker

log = structlog.stdlib.get_logger(__name__)


class Agent:
    """All parts of one agent. `services` start in order; `clean` shows afterwards whether every execution has an
    outcome.

    Must be created inside the running event loop. Raises ConfigError when the state folder cannot be used.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.state = StateFolder(settings.state_dir, settings.worker_id)
        self.identity = Identity(
            self.state.worker_id,
            settings.worker_name,
            settings.worker_type,
            dict(settings.labels),
            (settings.capacity or Capacity()).over(machine.resources()),
            durable=settings.state_dir is not None,
            stopped=self.state.stopped(),
        )
        self._scratch = Scratch(self.state.scratch)
        self._outputs = OutputFiles(self.state.outputs, self._scratch.discard)
        self._launcher = Launcher()
        self._hand = Hand("processes")
        self._sentinel = Sentinel(self.identity.incarnation)
        self.tracing = Tracing(
            settings.service,
            endpoint=settings.otlp_endpoint or None,
            sample=settings.trace_sample,
            version=platform_version(),
        )
        catalogue = Catalogue(settings.namespace)
        self.keyring = Keyring(
            self.state.path,
            self.identity,
            catalogue,
            url=settings.nats_url,
            ca=settings.nats_ca,
            join=settings.join,
            given=settings.nats_credentials is not None,
            start_deadline=settings.start_deadline,
            leave=_ask_to_stop,
        )
        self.bus = Bus(
            settings.nats_url,
            name="agent",
            namespace=settings.namespace,
            start_deadline=settings.start_deadline,
            linger_ms=settings.linger_ms,
            ca=settings.nats_ca,
            credentials=self.keyring.file or settings.nats_credentials,
            inbox=("agents", self.identity.worker_id),
            declares=False,
        )
        self.delivery = Delivery(
            self.bus,
            worker_id=self.state.worker_id,
            reports=Spool(self.state.spool, limit=settings.spool_limit),
            logs=Spool(self.state.log_spool, limit=settings.spool_limit),
        )
        self.keyring.serve(self.bus)
        self.reporter = Reporter(self.delivery, self.identity, catalogue, linger=settings.linger)
        prefetch = Prefetch(settings.prefetch_max, slots=settings.slots)
        self.health = Health(
            [self.state.restore, self.delivery.test_disk],
            [self._scratch.test, self._outputs.test, try_process],
            interval=settings.heartbeat,
        )
        means = Means(
            identity=self.identity,
            launcher=self._launcher,
            scratch=self._scratch,
            outputs=self._outputs,
            environment=base_environment(
                os.environ, worker_id=self.identity.worker_id, incarnation=self.identity.incarnation
            ),
            grace=settings.grace,
            traces=Traces(self.tracing, worker_id=self.identity.worker_id),
            make_log=partial(
                LogStream,
                limit=settings.log_limit,
                delivery=self.delivery,
                identity=self.identity,
                catalogue=catalogue,
            ),
            hand=self._hand,
            blame=self.health.blame,
        )
        self.runner = Runner(means, self.reporter, prefetch, self.health, slots=settings.slots)
        heart = Heart(
            self.bus,
            self.identity,
            self.runner,
            prefetch,
            self.delivery,
            self.health,
            interval=settings.heartbeat,
            version=platform_version(),
            alive=self.state.alive,
            credentials=lambda: self.keyring.jwt,
        )
        self.runner.changed = heart.look
        self.health.changed = self.runner.health_changed
        self.health.tested = self.delivery.disk_works
        self.health.leave = _ask_to_stop
        self.delivery.troubled = self.health.blame
        worker = Worker(
            self.bus,
            self.identity,
            self.runner,
            self.reporter,
            heart,
            patience=settings.stop_deadline,
            leave=_ask_to_stop,
            note_stop=self.state.note_stop,
        )
        self.services: Sequence[Service] = [
            _Ground(self),
            self.tracing,
            self.keyring,
            self.bus,
            self.delivery,
            self.reporter,
            worker,
            self.health,
        ]

    @property
    def clean(self) -> bool:
        """Whether every execution that ran on this agent has an outcome."""
        return not self.runner.lost

    async def prepare(self) -> None:
        """End the processes that an earlier start of this worker left behind, and open the folders.

        Raises ConfigError, and Unavailable when the machine cannot start a thread or a process.
        """
        self._hand.start()
        if self.state.known:
            killed = await self._hand.run(reap, worker_id=self.identity.worker_id)
            if killed:
                log.warning("worker.leftovers_ended", processes=killed)
        try:
            await self._hand.run(self._scratch.open)
            await self._hand.run(self._outputs.open)
            self.delivery.open()
        except OSError as error:
            raise ConfigError(
                f"HODEI_STATE_DIR: the state folder cannot be used: {error.filename}: {error.strerror}"
            ) from error
        try:
            self._sentinel.start()
        except OSError as error:
            raise Unavailable(f"a process of this machine ({error.strerror})") from error
        lifeline.watch(self._starter_is_gone, hard_after=0)

    async def clear(self) -> None:
        """Stop the sentinel, and release the state and scratch folders."""
        self._launcher.close()
        await self._hand.run(self._sentinel.stop)
        self._outputs.close(remove=self.state.ours)
        await self._scratch.close(remove=self.state.ours)
        self.state.close()
        self._hand.close()

    def _starter_is_gone(self) -> None:
        """End all process trees; runs outside the event loop's thread. The agent's process ends right after, and the
        executions killed here have no outcome."""
        self.runner.forsaken = True
        kill_marked([mark(INCARNATION_MARK, self.identity.incarnation)])


class _Ground:
    """The folders as a service: the first to start and the last to stop."""

    name = "state folder"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def start(self) -> None:
        await self._agent.prepare()

    async def stop(self) -> None:
        await self._agent.clear()


def _ask_to_stop() -> None:
    """Send this process SIGTERM, so that a drained agent stops in the same way as on a signal."""
    os.kill(os.getpid(), signal.SIGTERM)
