"""The settings of the exporter, which uses HTTP only, neither NATS's client port nor the database."""

from typing import ClassVar

from pydantic import Field, field_validator

from shared.service import HttpSettings, Port, address


class NatsExporterSettings(HttpSettings):
    """The exporter's own variables. `monitoring_url` lists the monitoring URLs of servers, separated by commas."""

    service: ClassVar[str] = "nats_exporter"

    port: Port = Field(default=7777, validation_alias="NATS_EXPORTER_PORT")
    monitoring_url: str = Field(default="http://127.0.0.1:8222", validation_alias="HODEI_NATS_MONITORING_URL")

    @field_validator("monitoring_url")
    @classmethod
    def _are_urls(cls, value: str) -> str:
        if any(address(url, "http", "https") is None for url in value.split(",")):
            raise ValueError("should be http://HOST:PORT, or several of them separated by commas")
        return value

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses one by one, without a slash at the end."""
        return tuple(dict.fromkeys(url.strip().rstrip("/") for url in self.monitoring_url.split(",")))
