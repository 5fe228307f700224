"""The settings of `hodei up` in its environment, read before anything starts. An empty variable counts as not set."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hodei.embedded.errors import WrongSetting
from hodei.embedded.ports import LOOPBACK
from schemas.specs import MAX_SLOTS, Capacity, default_slots, read_capacity, read_labels

SERVICES: Final = (("orchestrator", 8080), ("scheduler", 8081), ("worker_manager", 8082))


def variable_of(service: str) -> str:
    """The environment variable of a service's port."""
    return f"{service.upper()}_PORT"


def stand_alone(environment: MutableMapping[str, str]) -> None:
    """Change the environment for a separate platform: servers of its own, free ports, and the default settings."""
    for name in list(environment):
        if name.startswith("HODEI_") or name in ("NATS_URL", "NATS_PORT", "DATABASE_URL", "POSTGRES_PORT"):
            del environment[name]
    environment.update({variable_of(service): "0" for service, _ in SERVICES})


@dataclass(frozen=True)
class UpSettings:
    """The settings. Raises WrongSetting, in one line, for an invalid value."""

    data_dir: Path
    host: str
    ports: Mapping[str, int]
    nats_port: int | None
    postgres_port: int | None
    nats_url: str | None
    namespace: str
    access: bool
    """Whether requests need a token. The services check the setting."""
    certificate: Path | None
    """The services' certificate, with which they answer over HTTPS. They check the setting."""
    database_url: str | None
    worker_name: str | None
    worker_type: str
    worker_slots: int
    worker_labels: Mapping[str, str]
    worker_capacity: Capacity

    @classmethod
    def read(cls, environment: Mapping[str, str], *, data_dir: Path | None = None) -> UpSettings:
        def number(name: str, default: int | None, *, least: int = 0, most: int = 65535) -> int | None:
            text = environment.get(name, "")
            if not text:
                return default
            if not text.isdecimal() or not least <= int(text) <= most:
                raise WrongSetting(f"{name}={text!r}: should be a number from {least} to {most}")
            return int(text)

        try:
            labels = read_labels(environment.get("HODEI_WORKER_LABELS", ""))
        except ValueError as error:
            raise WrongSetting(f"HODEI_WORKER_LABELS: {error}") from None
        try:
            capacity = read_capacity(environment.get("HODEI_WORKER_CAPACITY", ""))
        except ValueError as error:
            raise WrongSetting(f"HODEI_WORKER_CAPACITY: {error}") from None
        return cls(
            data_dir=(data_dir or Path(environment.get("HODEI_DATA_DIR") or ".hodei")).absolute(),
            host=environment.get("HODEI_HOST") or LOOPBACK,
            ports={name: number(variable_of(name), port) or 0 for name, port in SERVICES},
            nats_port=number("NATS_PORT", None, least=1),
            postgres_port=number("POSTGRES_PORT", None, least=1),
            nats_url=environment.get("NATS_URL") or None,
            namespace=environment.get("HODEI_NAMESPACE") or "hodei",
            access=environment.get("HODEI_AUTH") == "on",
            certificate=Path(certificate) if (certificate := environment.get("HODEI_TLS_CERT")) else None,
            database_url=environment.get("DATABASE_URL") or None,
            worker_name=environment.get("HODEI_WORKER_NAME") or None,
            worker_type=environment.get("HODEI_WORKER_TYPE") or "default",
            worker_slots=number("HODEI_WORKER_SLOTS", None, least=1, most=MAX_SLOTS) or default_slots(),
            worker_labels=labels,
            worker_capacity=capacity,
        )

    @property
    def worker(self) -> dict[str, object]:
        """The body of the request for the worker."""
        named = {"name": self.worker_name} if self.worker_name else {}
        return named | {
            "type": self.worker_type,
            "slots": self.worker_slots,
            "labels": dict(self.worker_labels),
            "capacity": self.worker_capacity.model_dump(exclude_none=True),
        }

    @property
    def reach(self) -> str:
        """The host by which this machine reaches the services."""
        if self.host in ("0.0.0.0", "::", ""):
            return LOOPBACK
        return f"[{self.host}]" if ":" in self.host else self.host
