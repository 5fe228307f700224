"""Reads the monitoring endpoints of NATS servers at each scrape, and sets the exporter's metrics from them.

The label `server` is the server's address. For a server that does not answer, `hodei_nats_up` is 0 and there are no
other metrics, as old values would pass for new ones.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import structlog
from prometheus_client import Gauge
from pydantic import BaseModel, ValidationError

from nats_exporter.monitoring import HEALTHZ, JSZ, VARZ, Jsz, Varz
from shared.telemetry import Metrics, ToldCounter

DEADLINE: Final = 2.0
"""Seconds for one request."""
LARGEST_ANSWER: Final = 32 << 20

_M = TypeVar("_M", bound=BaseModel)

_log = structlog.get_logger(__name__)


class Silent(Exception):
    """A server did not answer, or its answer cannot be decoded."""


class Servers:
    """A service: the servers at these monitoring addresses (`http://host:8222`), and their metrics."""

    name: Final = "nats servers"

    def __init__(self, urls: Sequence[str], metrics: Metrics) -> None:
        self._urls = {_server(url): url for url in urls}
        self._session: aiohttp.ClientSession | None = None
        self._all: list[Gauge | ToldCounter] = []
        self._declare(metrics)
        metrics.before_scrape("nats", self.measure)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE))

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def healthy(self) -> bool:
        """Whether any server answers."""
        return any(await asyncio.gather(*map(self._is_there, self._urls.values())))

    async def measure(self) -> None:
        """Read all servers concurrently, and set the metrics."""
        for metric in self._all:
            metric.clear()
        await asyncio.gather(*(self._measure(server, url) for server, url in self._urls.items()))

    async def _measure(self, server: str, url: str) -> None:
        try:
            varz, jsz, healthy = await asyncio.gather(
                self._ask(url + VARZ, Varz), self._ask(url + JSZ, Jsz), self._is_healthy(url)
            )
        except Silent as error:
            _log.warning("nats.silent", url=server, error=str(error))
            self._up.labels(server).set(0)
            return
        self._up.labels(server).set(1)
        self._healthy.labels(server).set(healthy)
        self._tell_server(server, varz)
        self._tell_jetstream(server, varz.server_name, jsz)

    async def _is_there(self, url: str) -> bool:
        try:
            await self._ask(url + VARZ, Varz)
        except Silent:
            return False
        return True

    async def _is_healthy(self, url: str) -> bool:
        status, _ = await self._get(url + HEALTHZ)
        return status == 200

    async def _ask(self, url: str, model: type[_M]) -> _M:
        status, body = await self._get(url)
        if status != 200:
            raise Silent(f"{urlsplit(url).path} answered {status}")
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise Silent(f"{urlsplit(url).path} is not valid: {str(error).splitlines()[0]}") from error

    async def _get(self, url: str) -> tuple[int, bytes]:
        if self._session is None:
            raise Silent("not started")
        try:
            async with self._session.get(url) as answer:
                body = await answer.content.read(LARGEST_ANSWER)
                while not answer.content.at_eof() and len(body) < LARGEST_ANSWER:
                    body += await answer.content.read(LARGEST_ANSWER - len(body))
                return answer.status, body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Silent(str(error) or type(error).__name__) from error

    # ---------------------------------------------------------------- the exported metrics

    def _declare(self, metrics: Metrics) -> None:
        def gauge(name: str, help: str, labels: Sequence[str]) -> Gauge:
            made = metrics.gauge(name, help, labels)
            self._all.append(made)
            return made

        def counter(name: str, help: str, labels: Sequence[str]) -> ToldCounter:
            made = metrics.told_counter(name, help, labels)
            self._all.append(made)
            return made

        server, durable = ["server"], ["server", "stream", "consumer"]
        self._up = gauge("nats_up", "1 if the server's monitoring answers.", server)
        self._healthy = gauge("nats_healthy", "1 if the server's /healthz reports ok.", server)
        self._info = gauge("nats_info", "1, with name and version.", ["server", "name", "version"])
        self._start = gauge(
            "nats_start_time_seconds", "Time at which the server started, in seconds since 1970.", server
        )
        self._memory = gauge("nats_memory_bytes", "Resident memory of the server, in bytes.", server)
        self._cpu = gauge("nats_cpu_cores", "CPU that the server uses, in cores.", server)
        self._connections = gauge("nats_connections", "Open client connections.", server)
        self._routes = gauge("nats_routes", "Connections to the other servers of the cluster.", server)
        self._subscriptions = gauge("nats_subscriptions", "Subscriptions.", server)
        self._opened = counter(
            "nats_connections_opened_total", "Client connections opened since the server started.", server
        )
        self._in = counter("nats_received_messages_total", "Messages received.", server)
        self._in_bytes = counter("nats_received_bytes_total", "Bytes of messages received.", server)
        self._out = counter("nats_sent_messages_total", "Messages sent.", server)
        self._out_bytes = counter("nats_sent_bytes_total", "Bytes of messages sent.", server)
        self._slow = counter("nats_slow_consumers_total", "Clients disconnected because they read too slowly.", server)
        self._stale = counter(
            "nats_stale_connections_total", "Connections closed because the client did not answer pings.", server
        )
        self._js_memory = gauge("nats_jetstream_memory_bytes", "JetStream's memory in use, in bytes.", server)
        self._js_storage = gauge("nats_jetstream_storage_bytes", "Size of JetStream's files, in bytes.", server)
        self._js_limit = gauge(
            "nats_jetstream_storage_limit_bytes", "The most that JetStream's files may take, in bytes.", server
        )
        self._js_api = counter("nats_jetstream_api_requests_total", "JetStream API requests.", server)
        self._js_errors = counter("nats_jetstream_api_errors_total", "JetStream API requests that failed.", server)
        self._messages = gauge("nats_stream_messages", "Messages that a stream holds.", ["server", "stream"])
        self._bytes = gauge("nats_stream_bytes", "Size of a stream, in bytes.", ["server", "stream"])
        self._pending = gauge(
            "nats_consumer_pending_messages", "Messages that are not yet delivered to a durable consumer.", durable
        )
        self._unacknowledged = gauge(
            "nats_consumer_unacknowledged_messages",
            "Messages delivered to a consumer and not acknowledged.",
            durable,
        )
        self._redelivered = gauge(
            "nats_consumer_redelivered_messages", "Unacknowledged messages that were delivered more than once.", durable
        )

    def _tell_server(self, server: str, varz: Varz) -> None:
        self._info.labels(server, varz.server_name, varz.version).set(1)
        self._start.labels(server).set(varz.start.timestamp())
        self._memory.labels(server).set(varz.mem)
        self._cpu.labels(server).set(varz.cpu / 100)
        self._connections.labels(server).set(varz.connections)
        self._routes.labels(server).set(varz.routes)
        self._subscriptions.labels(server).set(varz.subscriptions)
        self._opened.tell(server, value=varz.total_connections)
        self._in.tell(server, value=varz.in_msgs)
        self._in_bytes.tell(server, value=varz.in_bytes)
        self._out.tell(server, value=varz.out_msgs)
        self._out_bytes.tell(server, value=varz.out_bytes)
        self._slow.tell(server, value=varz.slow_consumers)
        self._stale.tell(server, value=varz.stale_connections)

    def _tell_jetstream(self, server: str, name: str, jsz: Jsz) -> None:
        self._js_memory.labels(server).set(jsz.memory)
        self._js_storage.labels(server).set(jsz.storage)
        self._js_limit.labels(server).set(jsz.config.max_storage)
        self._js_api.tell(server, value=jsz.api.total)
        self._js_errors.tell(server, value=jsz.api.errors)
        for stream in jsz.streams(name):
            self._messages.labels(server, stream.name).set(stream.state.messages)
            self._bytes.labels(server, stream.name).set(stream.state.bytes)
        for stream_name, consumer in jsz.durables(name):
            labels = (server, stream_name, consumer.config.durable_name)
            self._pending.labels(*labels).set(consumer.num_pending)
            self._unacknowledged.labels(*labels).set(consumer.num_ack_pending)
            self._redelivered.labels(*labels).set(consumer.num_redelivered)


def _server(url: str) -> str:
    """`host:port` of a URL, without the user name and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
