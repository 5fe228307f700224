"""Models of NATS's monitoring endpoint, with the fields that are exported: `/varz`, `/jsz` and `/healthz`.

Field names are the server's own. A missing field counts as 0 or empty: a server without JetStream has no `/jsz`, and
older servers have fewer fields.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pydantic import BaseModel, Field

VARZ: Final = "/varz"
JSZ: Final = "/jsz?streams=true&consumers=true&config=true"
HEALTHZ: Final = "/healthz"


class Varz(BaseModel):
    """The server: its connections, its traffic, its memory (bytes) and its share of a core (percent)."""

    server_name: str = ""
    version: str = ""
    start: datetime
    mem: int = 0
    cpu: float = 0
    connections: int = 0
    total_connections: int = 0
    routes: int = 0
    subscriptions: int = 0
    in_msgs: int = 0
    in_bytes: int = 0
    out_msgs: int = 0
    out_bytes: int = 0
    slow_consumers: int = 0
    stale_connections: int = 0


class Cluster(BaseModel):
    """The leader of a replicated stream or consumer."""

    leader: str = ""


class State(BaseModel):
    """The content of a stream."""

    messages: int = 0
    bytes: int = 0


class ConsumerConfig(BaseModel):
    durable_name: str = ""


class Consumer(BaseModel):
    """A consumer of a stream. Only durable ones are exported: the others come and go with their readers."""

    name: str
    config: ConsumerConfig = Field(default_factory=ConsumerConfig)
    cluster: Cluster | None = None
    num_pending: int = 0
    num_ack_pending: int = 0
    num_redelivered: int = 0


class Stream(BaseModel):
    name: str
    state: State = Field(default_factory=State)
    cluster: Cluster | None = None
    consumer_detail: list[Consumer] | None = None


class Account(BaseModel):
    stream_detail: list[Stream] | None = None


class Limits(BaseModel):
    """JetStream's limits in bytes."""

    max_memory: int = 0
    max_storage: int = 0


class Api(BaseModel):
    total: int = 0
    errors: int = 0


class Jsz(BaseModel):
    """JetStream on this server; `memory` and `storage` are in bytes."""

    config: Limits = Field(default_factory=Limits)
    memory: int = 0
    storage: int = 0
    api: Api = Field(default_factory=Api)
    account_details: list[Account] | None = None

    def streams(self, server_name: str) -> Iterator[Stream]:
        """The streams that this server reports: in a cluster, those that it leads."""
        for account in self.account_details or ():
            yield from (stream for stream in account.stream_detail or () if _answers(stream.cluster, server_name))

    def durables(self, server_name: str) -> Iterator[tuple[str, Consumer]]:
        """The durable consumers that this server reports, with their stream's name."""
        for account in self.account_details or ():
            for stream in account.stream_detail or ():
                for consumer in stream.consumer_detail or ():
                    if consumer.config.durable_name and _answers(consumer.cluster, server_name):
                        yield stream.name, consumer


def _answers(cluster: Cluster | None, server_name: str) -> bool:
    return cluster is None or not cluster.leader or cluster.leader == server_name
